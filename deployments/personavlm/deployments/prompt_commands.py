"""`personavlm prompts`: look at a pack of prompts, and write ours to start another from."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table

from personavlm.platform.config import ConfigError
from personavlm.platform.prompts.checking import read_pack, rules_problems
from personavlm.platform.prompts.contract import CONTRACT, Rows, Variable
from personavlm.platform.prompts.render import PromptPack, default_pack, environment
from personavlm.platform.prompts.syntax import unused_variables


def run(args: argparse.Namespace) -> None:
    """Do one action. Raises `ConfigError`."""
    {"check": check, "export": export}[args.action](args.folder)


def check(folder: Path) -> None:
    """Show what the templates are given and use. Raises `PackError` with everything that is wrong."""
    pack = read_pack(folder, engine="")
    console = Console(soft_wrap=True)
    console.print(_table(pack))
    console.print(f"{folder}: this pack can be used.", markup=False)
    if unreadable := rules_problems(pack):
        console.print("Not with the engine of kind `rules`, which reads one form of prompt only:")
        for problem in unreadable:
            console.print(f"  {problem}", markup=False)


def export(folder: Path) -> None:
    """Write our own templates into a new or empty folder. Raises `ConfigError`."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise ConfigError(f"{folder} is not empty; name a new folder")
        for name, text in default_pack().templates:
            (folder / f"{name}.txt").write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{folder} cannot be written: {error.strerror}") from error
    print(f"{len(CONTRACT)} templates are in {folder}; `personavlm prompts check {folder}` looks at them")


def _table(pack: PromptPack) -> Table:
    table = Table("template", "is given", "fields of a row (? may be absent)", "used")
    for name, text in pack.templates:
        unused = unused_variables(name, text, environment({}))
        label = f"{name}.txt"
        for variable, given in CONTRACT[name].items():
            table.add_row(label, variable, " ".join(_fields(given)), "no" if variable in unused else "yes")
            label = ""
        if label:
            table.add_row(label, "nothing")
    return table


def _fields(given: Variable) -> Iterator[str]:
    if isinstance(given, Rows):
        for field in given.sample:
            yield f"{field}?" if field in given.optional else field
