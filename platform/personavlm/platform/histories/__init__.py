"""Recorded histories: ours, Persona-MME's and LoCoMo's, read into one form."""

from collections.abc import Callable
from pathlib import Path

from personavlm.platform.histories.format import (
    History,
    HistoryError,
    HistoryImage,
    HistoryQuestion,
    HistoryTurn,
)
from personavlm.platform.histories.locomo import load_locomo
from personavlm.platform.histories.persona_mme import load_persona_mme
from personavlm.platform.histories.personavlm import load_personavlm
from personavlm.platform.histories.scoring import evidence_recall, full_text, is_right

__all__ = [
    "FORMATS",
    "History",
    "HistoryError",
    "HistoryImage",
    "HistoryQuestion",
    "HistoryTurn",
    "evidence_recall",
    "full_text",
    "is_right",
    "load",
]

Loader = Callable[[Path, Path | None], list[History]]

FORMATS: dict[str, Loader] = {
    "personavlm": load_personavlm,
    "persona-mme": load_persona_mme,
    "locomo": load_locomo,
}


def load(path: Path, format: str, question_file: Path | None = None) -> list[History]:
    """The histories in ``path``, one for each user. Raises `HistoryError` that names file and field."""
    if format not in FORMATS:
        raise HistoryError(path, "format", f"{format!r} is unknown", f"Use one of {', '.join(FORMATS)}.")
    return FORMATS[format](path, question_file)
