"""Invented users: about thirty dated things that each has said of himself in six months."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Self

from personavlm.jobs.gym.words import (
    ACTIVITIES,
    COLOURS,
    FORMS,
    GOALS,
    LEVELS,
    MONTHS,
    MOODS,
    NAMES,
    OBJECTS,
    RELATIONS,
    SLOTS,
    STYLES,
    TONES,
    WEEKDAYS,
    YEAR,
)
from personavlm.memory_store.records import MemoryKind

ASKED_AT = datetime(YEAR, 6, 30, 20, tzinfo=UTC)
"""When questions are asked: after everything that there is to remember."""
WANTED_AT = datetime(YEAR, 6, 29, 10, tzinfo=UTC)
"""When each user says what he wants at this moment, which nobody stores as a memory."""
DAYS = 28  # of each month, so that months are alike
SECONDS_OF_DAY = 36_000  # ten hours in which things happen

SLOTS_EACH, MOST_CHANGES, PEOPLE, HABITS, GOALS_EACH, MOODS_EACH, OBJECTS_EACH = 5, 4, 3, 3, 2, 2, 3


@dataclass(frozen=True, slots=True)
class Shape:
    """What an image shows."""

    colour: str
    form: str


@dataclass(frozen=True, slots=True)
class Fact:
    """One memory: what was said when. ``replaces`` is the number of the fact that it takes the place of."""

    kind: MemoryKind
    time: datetime
    text: str
    key: str = ""
    replaces: int | None = None
    shape: Shape | None = None


@dataclass(frozen=True, slots=True)
class Dated:
    """One value in the course of time: the number of its fact tells the rest."""

    month: int
    value: str
    fact: int


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody whom the user knows. The numbers are those of facts."""

    relation: Dated
    slot: str
    taste: Dated
    tones: tuple[Dated, ...]


@dataclass(frozen=True, slots=True)
class Persona:
    """A user. ``facts`` are all that is stored; the other fields say what they mean.

    ``traits`` names those in which the user is high. ``wants`` is a slot and a value, said at `WANTED_AT`.
    """

    name: str
    level: str
    traits: dict[str, bool]
    wants: tuple[str, str]
    facts: tuple[Fact, ...]
    preferences: dict[str, tuple[Dated, ...]]
    people: dict[str, Person]
    habits: dict[str, Dated]
    goals: tuple[Dated, ...]
    moods: dict[str, tuple[str, Dated]]
    objects: dict[str, tuple[Shape, int]]

    @classmethod
    def drawn(cls, random: Random, *, images: bool = False) -> Self:
        """The next user. With ``images`` objects are remembered by a picture, otherwise in words."""
        draw = _Draw(random, images)
        slot = random.choice(list(SLOTS))
        return cls(
            name=random.choice(NAMES),
            level=random.choice(list(LEVELS)),
            traits={trait: random.random() < 0.5 for trait in STYLES},
            wants=(slot, random.choice(SLOTS[slot])),
            preferences=draw.preferences(),
            people=draw.people(),
            habits=draw.habits(),
            goals=draw.goals(),
            moods=draw.moods(),
            objects=draw.objects(),
            facts=tuple(draw.facts),
        )


@dataclass(slots=True)
class _Draw:
    """Draws the parts of one persona; ``facts`` grows with each."""

    random: Random
    images: bool
    facts: list[Fact] = field(default_factory=list)

    def preferences(self) -> dict[str, tuple[Dated, ...]]:
        found = {}
        for slot in self.random.sample(list(SLOTS), SLOTS_EACH):
            changes = self.random.choice((1, 1, 2, 3, MOST_CHANGES))
            values = self.random.sample(SLOTS[slot], changes)
            found[slot] = self._course(MemoryKind.SEMANTIC, values, f"me {slot}", replacing=True)
        return found

    def people(self) -> dict[str, Person]:
        names = self.random.sample(NAMES, PEOPLE)
        relations = self.random.sample(RELATIONS, PEOPLE)
        return {name: self._person(name, relation) for name, relation in zip(names, relations, strict=True)}

    def _person(self, name: str, relation: str) -> Person:
        slot = self.random.choice(list(SLOTS))
        taste = self.random.choice(SLOTS[slot])
        tones = [self.random.choice(TONES) for _ in range(2)]
        return Person(
            relation=self._once(MemoryKind.SEMANTIC, f"{name} my", relation),
            slot=slot,
            taste=self._once(MemoryKind.EPISODIC, f"{name} {slot}", taste),
            tones=self._course(MemoryKind.EPISODIC, tones, f"{name} tone"),
        )

    def habits(self) -> dict[str, Dated]:
        days = self.random.sample(WEEKDAYS, HABITS)
        return {
            day: self._once(MemoryKind.PROCEDURAL, f"habit {day}", self.random.choice(ACTIVITIES), key=day)
            for day in days
        }

    def goals(self) -> tuple[Dated, ...]:
        goals = self.random.sample(GOALS, GOALS_EACH)
        return self._course(MemoryKind.PROCEDURAL, goals, "goal", key="goal", replacing=True)

    def moods(self) -> dict[str, tuple[str, Dated]]:
        found = {}
        for mood in self.random.sample(MOODS, MOODS_EACH):
            slot = self.random.choice(list(SLOTS))
            value = self.random.choice(SLOTS[slot])
            found[mood] = slot, self._once(MemoryKind.EPISODIC, f"{mood} {slot}", value)
        return found

    def objects(self) -> dict[str, tuple[Shape, int]]:
        all_shapes = [Shape(colour, form) for colour in COLOURS for form in FORMS]
        shapes = self.random.sample(all_shapes, OBJECTS_EACH)
        found = {}
        for name, shape in zip(self.random.sample(OBJECTS, OBJECTS_EACH), shapes, strict=True):
            text = f"my {name}" if self.images else f"visual {name} {shape.colour} {shape.form}"
            seen = shape if self.images else None
            found[name] = (
                shape,
                self._add(Fact(MemoryKind.SEMANTIC, self._time(self._month()), text, shape=seen)),
            )
        return found

    def _course(
        self, kind: MemoryKind, values: list[str], about: str, *, key: str = "", replacing: bool = False
    ) -> tuple[Dated, ...]:
        """Values that follow each other, each in a month of its own."""
        found: list[Dated] = []
        for month, value in zip(self._months(len(values)), values, strict=True):
            before = found[-1].fact if replacing and found else None
            fact = Fact(kind, self._time(month), f"{about} {value}", key, before)
            found.append(Dated(month, value, self._add(fact)))
        return tuple(found)

    def _once(self, kind: MemoryKind, about: str, value: str, *, key: str = "") -> Dated:
        month = self._month()
        return Dated(month, value, self._add(Fact(kind, self._time(month), f"{about} {value}", key)))

    def _add(self, fact: Fact) -> int:
        self.facts.append(fact)
        return len(self.facts) - 1

    def _months(self, count: int) -> list[int]:
        return sorted(self.random.sample(range(len(MONTHS)), count))

    def _month(self) -> int:
        return self.random.randrange(len(MONTHS))

    def _time(self, month: int) -> datetime:
        day = datetime(YEAR, month + 1, 1 + self.random.randrange(DAYS), 8, tzinfo=UTC)
        return day + timedelta(seconds=self.random.randrange(SECONDS_OF_DAY))
