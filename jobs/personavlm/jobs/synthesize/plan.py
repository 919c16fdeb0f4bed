"""From a number to a life without words: person, sessions, dates, what is told when, and what changes."""

from __future__ import annotations

from datetime import datetime, time, timedelta, timezone
from math import ceil
from random import Random

from personavlm.jobs.synthesize.beats import mood_of, ordered_beats
from personavlm.jobs.synthesize.config import SynthesizeConfig
from personavlm.jobs.synthesize.life import Beat, Persona, Plan, PlannedTurn, Scores
from personavlm.jobs.synthesize.world import world
from personavlm.memory_store.records import TRAITS
from personavlm.platform.agent.descriptors import descriptor

TURNS_IN_A_SESSION = 5
OFFSETS = (-480, -300, 0, 60, 120, 330, 540)  # minutes from UTC


def plan_life(config: SynthesizeConfig, number: int) -> Plan:
    """The plan of person ``number``; the same for the same seed and settings."""
    rng = Random(f"{config.seed} {number}")
    turns = rng.randint(*config.turns)
    sessions = ceil(turns / TURNS_IN_A_SESSION)
    persona = _persona(config, number, sessions, rng)
    beats = ordered_beats(persona, turns, config, rng)
    parts = _divided(beats, sessions)
    times = _starts(config, persona, sessions, rng)
    planned = []
    for place, (start, part) in enumerate(zip(times, parts, strict=True)):
        levels = persona.traits_in(place)
        planned.append(_session(start, [_with_mood(beat, levels, rng) for beat in part], rng))
    return Plan(persona=persona, sessions=tuple(planned))


def _persona(config: SynthesizeConfig, number: int, sessions: int, rng: Random) -> Persona:
    words = world()
    traits = tuple(rng.choice((1, 2, 3, 4, 5)) for _ in TRAITS)
    later, shifts_at = list(traits), sessions
    if rng.random() < config.drift.personality:
        trait = rng.randrange(len(TRAITS))
        later[trait] = rng.choice((4, 5) if traits[trait] <= 3 else (1, 2))
        shifts_at = rng.randint(sessions // 3, max(sessions // 3, 2 * sessions // 3))
    name, job, home = rng.choice(words.names), rng.choice(words.jobs), rng.choice(words.homes)
    nature = "; ".join(descriptor(trait, float(level)) for trait, level in zip(TRAITS, traits, strict=True))
    return Persona(
        user=f"persona-{number:05d}",
        name=name,
        job=job,
        home=home,
        style=rng.choice(words.styles),
        utc_offset_minutes=rng.choice(OFFSETS),
        traits=_scores(traits),
        later_traits=_scores(later),
        shifts_at=shifts_at,
        description=f"{name}, {job}, lives in {home}. By nature: {nature}.",
    )


def _divided(beats: list[Beat], parts: int) -> list[list[Beat]]:
    """Parts of nearly equal size, in order."""
    return [beats[len(beats) * part // parts : len(beats) * (part + 1) // parts] for part in range(parts)]


def _starts(config: SynthesizeConfig, persona: Persona, sessions: int, rng: Random) -> list[datetime]:
    """Beginnings of sessions in the day's waking hours, no two within four hours."""
    zone = timezone(timedelta(minutes=persona.utc_offset_minutes))
    first = config.start + timedelta(days=rng.randrange(300))
    slots = [(day, hour) for day in range(config.days) for hour in (8, 13, 18)]
    chosen = sorted(rng.sample(slots, min(sessions, len(slots))))
    return [
        datetime.combine(first + timedelta(days=day), time(hour, rng.randrange(60)), zone)
        for day, hour in chosen
    ]


def _session(start: datetime, beats: list[Beat], rng: Random) -> tuple[PlannedTurn, ...]:
    turns, now = [], start
    for beat in beats:
        turns.append(PlannedTurn(time=now, beat=beat))
        now += timedelta(minutes=rng.randint(1, 6))
    return tuple(turns)


def _with_mood(beat: Beat, levels: Scores, rng: Random) -> Beat:
    """Some turns show a trait in passing; those about nothing else always do."""
    if beat.kind == "intro" or (beat.kind != "mood" and rng.random() < 0.6):
        return beat
    aside, scores = mood_of(levels, rng)
    return beat.model_copy(update={"aside": aside, "scores": scores})


def _scores(levels: list[int] | tuple[int, ...]) -> Scores:
    one, two, three, four, five = levels
    return (one, two, three, four, five)
