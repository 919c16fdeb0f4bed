"""A made-up life: who somebody is, what they tell on which day, and how it changes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Literal

from pydantic import AwareDatetime, Field

from personavlm.jobs.data.rows import Record

Kind = Literal[
    "intro", "preference", "person", "tone", "habit", "goal", "progress", "event", "plan", "thing", "mood"
]
Scores = tuple[int, int, int, int, int]
NEUTRAL_SCORES: Scores = (3, 3, 3, 3, 3)


class Picture(Record):
    """A photo that the user shows: a drawing of one thing."""

    thing: str
    colour: str
    pattern: str
    seed: int


class Beat(Record):
    """One thing that is told once: ``value`` of ``key``, where it changed in place of ``previous``.

    ``more`` are the other words of its sentence. ``aside`` is a sentence that shows a trait, ``scores`` what
    the turn shows of all five, 1 to 5.
    """

    kind: Kind
    key: str
    value: str
    previous: str = ""
    more: dict[str, str] = Field({})
    aside: str = ""
    scores: Scores = NEUTRAL_SCORES
    picture: Picture | None = None


class Persona(Record):
    """Who the user is before the first turn. ``traits`` are levels from 1 to 5; from session ``shifts_at`` on
    they are ``later_traits``."""

    user: str
    name: str
    job: str
    home: str
    style: str
    utc_offset_minutes: int
    traits: Scores
    later_traits: Scores
    shifts_at: int
    description: str

    @property
    def a_job(self) -> str:
        """The job with its article."""
        return f"{'an' if self.job[0] in 'aeiou' else 'a'} {self.job}"

    def traits_in(self, session: int) -> Scores:
        """The levels that the turns of a session show."""
        return self.later_traits if session >= self.shifts_at else self.traits


class PlannedTurn(Record):
    """What is told at a time; not yet in words."""

    time: AwareDatetime
    beat: Beat


class Plan(Record):
    """A life before it has words: its sessions, oldest first."""

    persona: Persona
    sessions: tuple[tuple[PlannedTurn, ...], ...]

    def turns(self) -> Iterator[PlannedTurn]:
        """All turns in order."""
        return (turn for session in self.sessions for turn in session)


class LifeTurn(Record):
    """A turn in words. ``id`` is unique within the life; ``time`` carries the user's UTC offset."""

    id: str
    session: int
    time: AwareDatetime
    beat: Beat
    user_text: str
    assistant_text: str


class Life(Record):
    """A life in words. ``corrected`` counts texts that had to be written again."""

    persona: Persona
    turns: tuple[LifeTurn, ...]
    corrected: int = 0

    def sessions(self) -> Iterator[tuple[LifeTurn, ...]]:
        """The turns by session, oldest first."""
        for number in dict.fromkeys(turn.session for turn in self.turns):
            yield tuple(turn for turn in self.turns if turn.session == number)


def minute(time: datetime) -> str:
    """A time as prompts show it, without the weekday: unique among the turns of a life."""
    return f"{time:%Y-%m-%d %H:%M}"
