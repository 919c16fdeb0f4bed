"""Where a run stands: which questions have been asked, and what became of the answers."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from personavlm.platform.errors import CommandError


class Counters(BaseModel):
    """Before the batch of ``step`` is gathered. All counts are of the whole run so far."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    step: int = 0
    next_question: int = 0
    """The number in the task's stream that is asked next."""
    consumed: int = 0
    """Rollouts that were learned from."""
    flat: int = 0
    """Groups left out because all rewards were the same."""
    short: int = 0
    """Groups left out because fewer than two rollouts were judged."""
    failed: int = 0
    """Rollouts without a verdict."""


class Schedule:
    """The counters at the beginning of every step, in ``folder``, so that a run continues where it was."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def at(self, step: int) -> Counters:
        """The counters when ``step`` began. Raises `CommandError` where the run never came there."""
        if step == 0:
            return Counters()
        path = self._path(step)
        try:
            return Counters.model_validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            raise CommandError(
                f"{path}: cannot be read, so it is unknown which questions come at step {step}: {error}; "
                "continue from another checkpoint, or begin anew in another output"
            ) from error

    def keep(self, counters: Counters) -> None:
        """Write them, durably, before anything is done with them."""
        path = self._path(counters.step)
        partial = path.with_suffix(".partial")
        with partial.open("w", encoding="utf-8") as file:
            file.write(counters.model_dump_json())
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)

    def _path(self, step: int) -> Path:
        return self._folder / f"step-{step:08d}.json"
