"""The commands of training. Heavy imports happen after the arguments are parsed."""

from __future__ import annotations

import argparse
from pathlib import Path

from personavlm.platform.cli import Commands

SHOWN_PROBLEMS = 50
SHOWN_ROLLOUTS = 8


def add_commands(commands: Commands) -> None:
    """The commands of training and their options."""
    data = commands.add_parser("data", help="check and convert training data")
    actions = data.add_subparsers(required=True, metavar="ACTION")
    validate = actions.add_parser("validate", help="check every row and image; name all that is wrong")
    validate.add_argument("path", type=Path, help="a Parquet, JSON or JSON Lines file, or a folder of them")
    validate.add_argument("--limit", type=int, default=SHOWN_PROBLEMS, help="problems shown (default 50)")
    validate.set_defaults(run=_validate)
    convert = actions.add_parser("convert", help="write data as Parquet in the platform's own format")
    convert.add_argument("source", type=Path, help="what `validate` takes")
    convert.add_argument("target", type=Path, help="the Parquet file to write")
    convert.add_argument("--embed-images", action="store_true", help="put the images into the file")
    convert.set_defaults(run=_convert)
    rollouts = commands.add_parser("rollouts", help="read what a policy did in training")
    reading = rollouts.add_subparsers(required=True, metavar="ACTION")
    show = reading.add_parser("show", help="thoughts, searches, what they found, answers, rewards")
    show.add_argument("file", type=Path, help="a file of a run's folder `rollouts`")
    show.add_argument("--limit", type=int, default=SHOWN_ROLLOUTS, help="rollouts shown (default 8)")
    show.add_argument("--step", type=int, help="only those of this step")
    show.add_argument("--question", help="only those of the question with this id")
    show.set_defaults(run=_show_rollouts)


def _validate(args: argparse.Namespace) -> int:
    from personavlm.jobs.data import data_commands

    return data_commands.validate_path(args.path, args.limit)


def _convert(args: argparse.Namespace) -> int:
    from personavlm.jobs.data import data_commands

    return data_commands.convert(args.source, args.target, embed=args.embed_images)


def _show_rollouts(args: argparse.Namespace) -> int:
    from rich.console import Console

    from personavlm.jobs.rollouts.show_command import show

    return show(args.file, args.limit, args.step, args.question, Console())
