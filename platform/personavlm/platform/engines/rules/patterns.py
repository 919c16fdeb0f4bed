"""Named patterns from a YAML file: lists of alternatives that may refer to one another."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import yaml


class Patterns:
    """The entries of one file. ``%(name)s`` in an entry stands for the alternatives of entry ``name``."""

    def __init__(self, path: Path) -> None:
        entries = yaml.safe_load(path.read_text(encoding="utf-8"))
        plain = {name: "|".join(alternatives) for name, alternatives in entries.items()}
        self._lists: dict[str, list[str]] = {
            name: [text % plain if "%(" in text else text for text in alternatives]
            for name, alternatives in entries.items()
        }

    def one(self, name: str, before: str = "", after: str = "") -> re.Pattern[str]:
        """All alternatives of an entry as one pattern, between ``before`` and ``after``."""
        return re.compile(f"{before}(?:{'|'.join(self._lists[name])}){after}", re.IGNORECASE)

    def each(self, name: str) -> tuple[re.Pattern[str], ...]:
        """Each alternative as a pattern of its own, in order."""
        return tuple(re.compile(text, re.IGNORECASE) for text in self._lists[name])


@cache
def statement_patterns() -> Patterns:
    """How sentences state something about the one who writes them."""
    return Patterns(Path(__file__).with_name("statements.yaml"))
