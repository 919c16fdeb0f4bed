"""What somebody tells, in the order in which they tell it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from math import ceil
from random import Random

from personavlm.jobs.synthesize.config import DriftConfig, SynthesizeConfig
from personavlm.jobs.synthesize.life import NEUTRAL_SCORES, Beat, Persona, Picture, Scores
from personavlm.jobs.synthesize.world import world
from personavlm.memory_store.records import TRAITS

Placed = tuple[float, Beat]
"""A beat with its place in the life, from 0 to 1."""

EVENT_SHARE = 0.25
SHOWN_IN_PART = 0.5  # for a level of 2 or 4: how often its sentences are shown at all


def ordered_beats(persona: Persona, turns: int, config: SynthesizeConfig, rng: Random) -> list[Beat]:
    """Exactly ``turns`` beats; the first introduces the user."""
    things = list(_things(ceil(config.image_share * turns), rng))
    told = [*_preferences(config.drift, turns, rng), *_people(config.drift, turns, rng)]
    told += [*_habits(rng), *_goals(turns, rng), *_plans(rng)]
    room = turns - 1 - len(things)
    kept = _whole_stories(told, room, rng)
    events = list(_events(min(ceil(EVENT_SHARE * turns), room - len(kept)), config.drift, rng))
    moods = [
        (rng.random(), Beat(kind="mood", key="", value="")) for _ in range(room - len(kept) - len(events))
    ]
    intro = Beat(
        kind="intro",
        key="name",
        value=persona.name,
        more={"a_job": persona.a_job, "home": persona.home, "style": persona.style},
    )
    placed = sorted([*things, *kept, *events, *moods], key=lambda one: one[0])
    return [intro, *(beat for _, beat in placed)]


def mood_of(levels: Scores, rng: Random) -> tuple[str, Scores]:
    """A sentence that shows one trait at its level, and what the turn shows of all five."""
    pronounced = [place for place, level in enumerate(levels) if level != 3]
    if not pronounced:
        return "", NEUTRAL_SCORES
    place = rng.choice(pronounced)
    level = levels[place]
    if level in (2, 4) and rng.random() < SHOWN_IN_PART:
        return "", NEUTRAL_SCORES
    sentences = world().traits[TRAITS[place]]
    scores = [3, 3, 3, 3, 3]
    scores[place] = level
    one, two, three, four, five = scores
    return rng.choice(sentences.high if level > 3 else sentences.low), (one, two, three, four, five)


def _whole_stories(told: list[list[Placed]], room: int, rng: Random) -> list[Placed]:
    """As many stories as fit, each with all of its beats: a change needs what was there before."""
    rng.shuffle(told)
    kept: list[Placed] = []
    for story in told:
        if len(kept) + len(story) <= 0.8 * room:
            kept += story
    return kept


def _preferences(drift: DriftConfig, turns: int, rng: Random) -> Iterator[list[Placed]]:
    for slot in rng.sample(sorted(world().slots), min(len(world().slots), 3 + turns // 12)):
        values = rng.sample(world().slots[slot], 3)
        changes = sum(rng.random() < drift.preference for _ in range(2))
        yield _chain("preference", slot, values[: 1 + changes], {}, rng)


def _people(drift: DriftConfig, turns: int, rng: Random) -> Iterator[list[Placed]]:
    count = min(2 + turns // 15, len(world().relations))
    friends = rng.sample(world().friends, count)
    relations, towns = rng.sample(world().relations, count), rng.sample(world().towns, count)
    for name, relation, town in zip(friends, relations, towns, strict=True):
        tones = rng.sample(world().tones, 2)
        changed = rng.random() < drift.preference
        story = _chain("person", name, tones[: 1 + changed], {"relation": relation, "town": town}, rng)
        yield [
            (place, beat.model_copy(update={"kind": "tone"}) if beat.previous else beat)
            for place, beat in story
        ]


def _habits(rng: Random) -> Iterator[list[Placed]]:
    days = rng.sample(world().weekdays, 3)
    for day, habit in zip(days, rng.sample(world().habits, 3), strict=True):
        yield [(rng.random(), Beat(kind="habit", key=day, value=habit.activity, more={"when": habit.when}))]


def _goals(turns: int, rng: Random) -> Iterator[list[Placed]]:
    for goal in rng.sample(world().goals, 1 + (turns > 40)):
        places = sorted(rng.random() for _ in range(1 + rng.randint(1, len(goal.steps))))
        first: Placed = (places[0], Beat(kind="goal", key=goal.goal, value=goal.goal))
        steps = zip(places[1:], goal.steps, strict=False)
        yield [
            first,
            *((place, Beat(kind="progress", key=goal.goal, value=step)) for place, step in steps),
        ]


def _plans(rng: Random) -> Iterator[list[Placed]]:
    for one in rng.sample(world().plans, 2):
        yield [(rng.random(), Beat(kind="plan", key=one.plan, value=rng.choice(one.reason)))]


def _events(count: int, drift: DriftConfig, rng: Random) -> Iterator[Placed]:
    """Topics of the first half, and, where topics drift, others in the second; no place twice."""
    topics = rng.sample(sorted(world().topics), 4)
    drifts = rng.random() < drift.topic
    places = rng.sample(world().places, min(count, len(world().places)))
    for where in places:
        at = rng.random()
        topic = rng.choice(topics[2:] if drifts and at >= 0.5 else topics[:2])
        activity = rng.choice(world().topics[topic])
        yield at, Beat(kind="event", key=activity, value=where, more={"topic": topic})


def _things(count: int, rng: Random) -> Iterator[Placed]:
    """Things to show, no two alike, and no two of a kind from the same giver."""
    words = world()
    looks = {thing: rng.sample(sorted(product(words.colours, words.patterns)), 24) for thing in words.things}
    for thing, origin in rng.sample(sorted(product(words.things, words.origins)), count):
        colour, pattern = looks[thing].pop()
        picture = Picture(thing=thing, colour=colour, pattern=pattern, seed=rng.randrange(2**31))
        more = {"thing": thing, "colour": colour, "pattern": pattern}
        key = f"{pattern} {colour} {thing}"
        yield rng.random(), Beat(kind="thing", key=key, value=origin, more=more, picture=picture)


def _chain(kind: str, key: str, values: list[str], more: dict[str, str], rng: Random) -> list[Placed]:
    """A value and what takes its place later, once or more often."""
    places = sorted(rng.random() for _ in values)
    return [
        (place, Beat(kind=kind, key=key, value=value, previous=values[step - 1] if step else "", more=more))
        for step, (place, value) in enumerate(zip(places, values, strict=True))
    ]
