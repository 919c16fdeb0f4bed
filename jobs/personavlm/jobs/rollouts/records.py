"""What is kept of a rollout, to be read by people: one line of JSON each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from personavlm.jobs.rollouts.tasks import Question
from personavlm.platform.agent.types import Outcome, StepTrace
from personavlm.platform.errors import CommandError


class Line(BaseModel):
    """Base of what is stored."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class RecordedStep(Line):
    """A search and what it brought, or the answer."""

    action: str
    thinking: str
    keywords: str = ""
    start: str = ""
    end: str = ""
    found: tuple[str, ...] = ()
    shown: str = ""
    """What the policy was shown of it."""
    repaired: str = ""

    @classmethod
    def of(cls, trace: StepTrace, shown: str) -> Self:
        """One step of an outcome."""
        start, end = (bound.isoformat() if bound else "" for bound in (trace.window.start, trace.window.end))
        return cls(
            action=trace.action,
            thinking=trace.thinking,
            keywords=trace.keywords,
            start=start,
            end=end,
            found=trace.found,
            shown=shown,
            repaired=trace.repaired,
        )


class Record(Line):
    """One rollout. Without ``reward`` it was dropped, for the reason in ``failure``."""

    step: int = 0
    group: int
    question: str
    kind: str
    text: str
    gold: str
    answer: str = ""
    steps: tuple[RecordedStep, ...] = ()
    parts: dict[str, float] = {}
    reward: float | None = None
    advantage: float | None = None
    versions: tuple[str, ...] = ()
    failure: str = ""

    @classmethod
    def begun(cls, number: int, question: Question) -> Self:
        """Of a rollout of which nothing but the question is known."""
        return cls(
            group=number,
            question=question.id,
            kind=question.kind,
            text=question.message.text,
            gold=question.gold,
        )

    def ended(self, outcome: Outcome) -> Self:
        """With what the policy did."""
        shown = iter([one.text for one in outcome.conversation.segments if one.role == "user"][1:])
        steps = tuple(
            RecordedStep.of(trace, next(shown, "") if trace.action == "retrieve" else "")
            for trace in outcome.steps
        )
        return self.model_copy(update={"answer": outcome.answer, "steps": steps})


def append_records(path: Path, records: Iterable[Record]) -> None:
    """Add lines to the file."""
    with path.open("a", encoding="utf-8") as file:
        file.writelines(record.model_dump_json() + "\n" for record in records)


def read_records(path: Path) -> Iterator[Record]:
    """The records of a file. Raises `CommandError` that names the line."""
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                yield _record(path, number, line)
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{path} cannot be read: {error}") from error


def _record(path: Path, number: int, line: str) -> Record:
    try:
        return Record.model_validate_json(line)
    except ValidationError as error:
        raise CommandError(f"{path}, line {number}: is no rollout: {error.errors()[0]['msg']}") from error
