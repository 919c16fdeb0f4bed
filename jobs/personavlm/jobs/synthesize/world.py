"""The words of the world without a model."""

from __future__ import annotations

from datetime import datetime
from functools import cache
from pathlib import Path
from random import Random

import yaml
from pydantic import Field

from personavlm.jobs.data.rows import Record
from personavlm.jobs.synthesize.life import Beat, Kind


class Telling(Record):
    """How a kind of thing is told, replied to, and remembered (empty ``memory``: not at all)."""

    user: tuple[str, ...]
    changed: tuple[str, ...] = ()
    assistant: tuple[str, ...]
    memory: str = ""


class Levels(Record):
    """Sentences that show a trait."""

    high: tuple[str, ...]
    low: tuple[str, ...]


class Habit(Record):
    """What somebody does on a day of the week, and at which time of it."""

    activity: str
    when: str


class Goal(Record):
    """What somebody works towards, and the steps on the way in their order."""

    goal: str
    steps: tuple[str, ...]


class Intention(Record):
    """What somebody is going to do, and reasons that may be given for it."""

    plan: str
    reason: tuple[str, ...]


class Tailored(Record):
    """A reply for those who have much of a trait, and one for those who have little."""

    high: str
    low: str


class World(Record):
    """`world.yaml`."""

    names: tuple[str, ...]
    friends: tuple[str, ...]
    homes: tuple[str, ...]
    towns: tuple[str, ...]
    jobs: tuple[str, ...]
    styles: tuple[str, ...]
    relations: tuple[str, ...]
    tones: tuple[str, ...]
    weekdays: tuple[str, ...]
    slots: dict[str, tuple[str, ...]]
    habits: tuple[Habit, ...]
    goals: tuple[Goal, ...]
    plans: tuple[Intention, ...]
    topics: dict[str, tuple[str, ...]]
    places: tuple[str, ...]
    origins: tuple[str, ...]
    things: tuple[str, ...]
    colours: dict[str, str]
    patterns: tuple[str, ...]
    traits: dict[str, Levels]
    told: dict[Kind, Telling]
    questions: dict[str, tuple[str, ...]]
    missing: tuple[str, ...]
    tailored: dict[str, Tailored] = Field(min_length=5, max_length=5)


@cache
def world() -> World:
    """The world, read once."""
    text = Path(__file__).with_name("world.yaml").read_text(encoding="utf-8")
    return World.model_validate(yaml.safe_load(text))


def filled(template: str, beat: Beat, **more: str) -> str:
    """A template with the words of a beat; ``{Value}`` is ``{value}`` with a capital letter."""
    words = {"key": beat.key, "value": beat.value, "previous": beat.previous, "aside": beat.aside}
    words |= beat.more | more
    return template.format_map(words | {name.capitalize(): _started(text) for name, text in words.items()})


def written(beat: Beat, rng: Random) -> tuple[str, str]:
    """What the user says and the assistant replies."""
    telling = world().told[beat.kind]
    said = filled(rng.choice(telling.changed if beat.previous and telling.changed else telling.user), beat)
    if beat.aside and beat.kind != "mood":
        said = f"{said} {beat.aside}"
    return said, filled(rng.choice(telling.assistant), beat)


def remembered(beat: Beat, told: datetime) -> str:
    """The sentence of semantic memory that keeps a beat told then; empty where nothing is worth it."""
    return _started(filled(world().told[beat.kind].memory, beat, date=f"{told:%A %-d %B %Y}"))


def _started(text: str) -> str:
    return text[:1].upper() + text[1:]
