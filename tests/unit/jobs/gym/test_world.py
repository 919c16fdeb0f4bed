"""Laws of the world: what is asked can be answered from memory, and only from its evidence."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from personavlm.jobs.gym.personas import ASKED_AT, WANTED_AT, Persona
from personavlm.jobs.gym.questions import ALL_KINDS, Kind, draw_question
from personavlm.jobs.gym.words import LETTERS, vocabulary
from personavlm.jobs.gym.worlds import WorldConfig, write_world
from personavlm.memory_store import MemoryKind, MemoryStore, SemanticMemory

seeds = st.integers(0, 10**6)


@given(seeds, st.booleans())
def test_facts_lie_in_six_months_and_replace_older_ones(seed: int, images: bool) -> None:
    persona = Persona.drawn(Random(seed), images=images)
    assert 25 <= len(persona.facts) <= 45
    for fact in persona.facts:
        assert fact.time < WANTED_AT < ASKED_AT
        if fact.replaces is not None:
            assert persona.facts[fact.replaces].time < fact.time
            assert persona.facts[fact.replaces].kind == fact.kind


@given(seeds, st.sampled_from(ALL_KINDS), st.booleans(), st.sampled_from((0.0, 1.0)))
def test_a_question_says_its_answer_only_through_evidence(
    seed: int, kind: Kind, images: bool, choice_share: float
) -> None:
    random = Random(seed)
    persona = Persona.drawn(random, images=images)
    question = draw_question(persona, kind, random, choice_share=choice_share, images=images)
    if question is None:  # this persona has nothing of the kind
        return
    known = set(vocabulary())
    said = f"{question.text} {question.conclusion} {question.answer}".split()
    assert known.issuperset(said)
    assert question.conclusion.split()[-1] == question.value
    assert question.answer == question.answer_for(question.value)
    if question.options:
        assert len(set(question.options)) == len(question.options) and question.answer in LETTERS
    else:
        assert question.value not in question.text.split()
    if question.hops and not (images and kind == "VDR"):  # there only the picture tells
        assert question.value in question.hops[-1].proof.split()


@given(seeds)
def test_the_same_seed_draws_the_same_persona(seed: int) -> None:
    assert Persona.drawn(Random(seed)) == Persona.drawn(Random(seed))


@settings(max_examples=5)
@given(seed=seeds)
def test_a_world_is_in_the_store_as_it_was_told(store: MemoryStore, seed: int) -> None:
    name = f"told{len(store.users())}"
    asked = write_world(store, name, seed, 8, WorldConfig(kinds=ALL_KINDS, images=True, questions_each=8))
    user = asked[0].user
    kinds = {kind: store.memories(user, kind, include_ended=True) for kind in MemoryKind}
    assert all(kinds.values())
    ids = {memory.id for memories in kinds.values() for memory in memories}
    for one in asked:
        assert ids.issuperset(one.evidence)
    pictured = [m for m in kinds[MemoryKind.SEMANTIC] if isinstance(m, SemanticMemory) and m.images]
    assert len(pictured) == 3
    assert all(store.image(user, image.sha256) for memory in pictured for image in memory.images)


@pytest.mark.parametrize("name", ["first", "second"])
def test_another_name_or_seed_is_another_world(store: MemoryStore, name: str) -> None:
    texts = {seed: [one.question for one in write_world(store, f"{name}-world", seed, 16)] for seed in (1, 2)}
    assert texts[1] != texts[2]
