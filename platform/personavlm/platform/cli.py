"""`personavlm`: one command line over serving and training, which never import each other.

Each part announces its commands as an entry point of the group `personavlm.commands`: a function that is
given the subparsers. Heavy imports happen after the arguments are parsed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib.metadata import entry_points
from typing import TypeAlias

from personavlm.platform.errors import CommandError

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"

GROUP = "personavlm.commands"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status is 0 on success, 1 on a problem that the message explains."""
    args = parser().parse_args(arguments)
    try:
        status: int = args.run(args)
    except CommandError as error:
        print(f"personavlm: {error}", file=sys.stderr)
        return 1
    return status


def parser() -> argparse.ArgumentParser:
    """All commands and their options. Each sets ``run``, which takes the arguments and returns a status."""
    top = argparse.ArgumentParser(prog="personavlm", description="Assistants that remember each user.")
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    for part in sorted(entry_points(group=GROUP), key=lambda entry: entry.name):
        part.load()(commands)
    return top
