"""The commands of training. Heavy imports happen after the arguments are parsed."""

from __future__ import annotations

from personavlm.platform.cli import Commands


def add_commands(commands: Commands) -> None:
    """The commands of training and their options."""
