"""Personas as the contents of a memory store: dialogue, all four kinds of memory, profile, images."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime

from personavlm.jobs.gym.personas import WANTED_AT, Fact, Persona
from personavlm.jobs.gym.pictures import picture
from personavlm.memory_store import Add, ImageRef, MemoryKind, MemoryStore, Profile, TurnDraft, UserKey
from personavlm.memory_store.records import TRAITS

HIGH, LOW = 4.5, 1.5  # scores of a trait
REPLY = "remembers"  # what the assistant said to everything


def write_persona(store: MemoryStore, user: UserKey, persona: Persona) -> tuple[str, ...]:
    """Store everything that is known of one user; the ids of his facts by their numbers.

    Nobody may have written to this user before.
    """
    images = _images(store, user, persona.facts)
    order = sorted(range(len(persona.facts)), key=lambda number: persona.facts[number].time)
    drafts = [_draft(persona.facts[number], images.get(number)) for number in order]
    _, value = persona.wants
    drafts.append(TurnDraft(f"i want {value} now", REPLY, WANTED_AT))
    turns, _ = store.append_turns(user, drafts)
    evidence = {number: turn.id for number, turn in zip(order, turns, strict=False)}
    ids = _Facts(store, user, persona.facts, evidence, images).write()
    _write_core(store, user, persona, turns[0].id)
    known = turns[0].event_time
    store.save_profile(user, _profile(persona, known))
    store.index(user)  # now, or the first searches would rank some texts without their vectors
    return ids


def _profile(persona: Persona, known: datetime) -> Profile:
    scores = (HIGH if persona.traits[trait] else LOW for trait in TRAITS)
    openness, conscientiousness, extraversion, agreeableness, neuroticism = scores
    traits = (openness, conscientiousness, extraversion, agreeableness, neuroticism)
    return Profile(version=0, traits=traits, source="gym", event_time=known, recorded_at=known)


def _draft(fact: Fact, image: ImageRef | None) -> TurnDraft:
    return TurnDraft(fact.text, REPLY, fact.time, images=(image,) if image else ())


def _images(store: MemoryStore, user: UserKey, facts: Iterable[Fact]) -> dict[int, ImageRef]:
    found = {}
    for number, fact in enumerate(facts):
        if fact.shape:
            data, side = picture(fact.shape, f"{user.user}/{number}")
            found[number] = store.put_image(user, data, "image/png", side, side)
    return found


class _Facts:
    """Writes facts in as few steps as there are kinds and generations of them."""

    def __init__(
        self,
        store: MemoryStore,
        user: UserKey,
        facts: tuple[Fact, ...],
        evidence: Mapping[int, str],
        images: Mapping[int, ImageRef],
    ) -> None:
        self._store, self._user, self._facts = store, user, facts
        self._evidence, self._images = evidence, images
        self._ids: dict[int, str] = {}

    def write(self) -> tuple[str, ...]:
        """A fact is written after the one that it replaces; the ids of all by their numbers."""
        steps = defaultdict[tuple[MemoryKind, int], list[int]](list)
        for number, fact in enumerate(self._facts):
            steps[fact.kind, self._generation(fact)].append(number)
        for (kind, generation), numbers in sorted(steps.items()):
            numbers.sort(key=lambda number: self._facts[number].time)
            adds = [self._add(number) for number in numbers]
            written = self._store.apply(self._user, kind, f"gym:{generation}", adds)
            made = [memory.id for memory in written if memory.version == 1]
            self._ids |= dict(zip(numbers, made, strict=True))
        return tuple(self._ids[number] for number in range(len(self._facts)))

    def _generation(self, fact: Fact) -> int:
        return 0 if fact.replaces is None else 1 + self._generation(self._facts[fact.replaces])

    def _add(self, number: int) -> Add:
        fact, image = self._facts[number], self._images.get(number)
        return Add(
            text=fact.text,
            event_time=fact.time,
            evidence=(self._evidence[number],),
            key=fact.key,
            category="concept" if image else "fact",
            keywords=tuple(fact.text.split()),
            images=(image,) if image else (),
            session=self._evidence[number],
            end_time=fact.time,
            supersedes=self._ids[fact.replaces] if fact.replaces is not None else "",
        )


def _write_core(store: MemoryStore, user: UserKey, persona: Persona, turn: str) -> None:
    said = min(fact.time for fact in persona.facts)
    adds = [
        Add(text=text, event_time=said, evidence=(turn,), key=key)
        for key, text in (("name", persona.name), ("level", persona.level))
    ]
    store.apply(user, MemoryKind.CORE, "gym:core", adds)
