"""How far the questions of a run were used, by step: what a run that continues needs to know."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from personavlm.platform.errors import CommandError


class Counters(BaseModel):
    """At the start of ``step``: questions asked, groups learned from, and the newest weights then.

    Randomness needs no state: whatever is drawn for a group is drawn from the run's seed and its number.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    step: int = 0
    consumed: int = 0
    accepted: int = 0
    version: str = ""


@dataclass(frozen=True, slots=True)
class CountersFile:
    """A line for each step, the last one of a step counting. A line that a crash cut short is none."""

    path: Path

    def at(self, step: int) -> Counters:
        """At the start of a step. Raises `CommandError` where that was never reached."""
        if step == 0:
            return Counters()
        found = [one for one in self._lines() if one.step == step]
        if not found:
            raise CommandError(
                f"{self.path} does not say where step {step} begins; it belongs to the checkpoints beside it"
            )
        return found[-1]

    def write(self, counters: Counters) -> None:
        """Keep the counters at the start of a step."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(counters.model_dump_json() + "\n")

    def _lines(self) -> list[Counters]:
        try:
            lines = self.path.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return []
        return [one for line in lines if (one := _counters(line))]


def _counters(line: str) -> Counters | None:
    try:
        return Counters.model_validate_json(line)
    except ValidationError:
        return None
