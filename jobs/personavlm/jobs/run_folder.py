"""The folder of one run: its settings, resolved, and everything that it writes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from personavlm.platform.config_section import Section
from personavlm.platform.errors import CommandError

SETTINGS = "config.yaml"
MAY_CHANGE = ("strategy", "checkpoints")
"""Sections, at any depth, that say how work is done, not what comes out; a run may go on with others."""


def claim(output: Path, config: Section) -> None:
    """Make the folder this run's, or find that it is already.

    The resolved settings are kept in ``config.yaml``. Raises `CommandError` where the folder holds something
    else, or a run with other settings, which it names.
    """
    settings = config.model_dump(mode="json")
    file = output / SETTINGS
    if not file.exists():
        if output.is_dir() and any(output.iterdir()):
            raise CommandError(f"output: {output} holds something that is no run; name an empty folder")
        output.mkdir(parents=True, exist_ok=True)
    else:
        before = dict(_named(yaml.safe_load(file.read_text(encoding="utf-8")) or {}))
        now = dict(_named(settings))
        other = [name for name in sorted({*before, *now}) if before.get(name) != now.get(name)]
        if other:
            raise CommandError(
                f"output: {output} is a run with other settings ({', '.join(other)}); name another folder, "
                f"or start with the settings in {file} to continue that run"
            )
    file.write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")


def _named(settings: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Each value by its dotted name, those that may change left out."""
    for key, value in settings.items():
        if key in MAY_CHANGE:
            continue
        if isinstance(value, dict):
            yield from _named(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value
