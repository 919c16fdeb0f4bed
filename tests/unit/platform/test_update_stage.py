"""The update stage over a real store: what it writes, in which order, from which answers."""

import asyncio
import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from personavlm.memory_store import MemoryStore
from personavlm.memory_store.records import (
    TRAITS,
    CoreMemory,
    EpisodicMemory,
    MemoryKind,
    Profile,
    Progress,
    SemanticMemory,
    TurnDraft,
)
from personavlm.platform.engines.rules.engine import RulesEngine
from personavlm.platform.engines.scripted import ScriptedEngine
from tests.unit.platform.update_workbench import (
    CONVERSATION,
    HOUR,
    RESPONDERS,
    START,
    USER,
    TaskEngine,
    close_stores,
    open_store,
    say,
    stage_of,
)

PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGNgYPgPAAEDAQAIicLsAAAAAElFTkSuQmCC"
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[MemoryStore]:
    opened = open_store(tmp_path / "store")
    yield opened
    close_stores()


async def test_turns_then_closed_sessions_in_order(store: MemoryStore) -> None:
    turns = say(store, CONVERSATION)
    engine = TaskEngine(RESPONDERS)
    assert await stage_of(store, engine).run(USER)
    per_turn, per_session = ["personality", "semantic"], ["episodic", "procedural", "core"]
    assert engine.tasks == per_turn * 3 + per_session + per_turn * 2 + per_session + per_turn * 2
    assert store.progress(USER) == Progress(turns=7, consolidated=5)

    first, second = store.memories(USER, MemoryKind.EPISODIC)
    assert isinstance(first, EpisodicMemory) and isinstance(second, EpisodicMemory)
    assert first.evidence == tuple(turn.id for turn in turns[:3])
    assert (first.event_time, first.end_time) == (turns[0].event_time, turns[2].event_time)
    assert second.session == turns[3].id
    assert [memory.text for memory in store.memories(USER, MemoryKind.CORE)] == ["Mia"]


async def test_a_changed_preference_ends_the_old_one_and_points_at_the_new(store: MemoryStore) -> None:
    turns = say(store, CONVERSATION)
    await stage_of(store, TaskEngine(RESPONDERS)).run(USER)
    ended, *current = [
        memory
        for memory in store.memories(USER, MemoryKind.SEMANTIC, include_ended=True)
        if "tea" in memory.text
    ]
    assert ended.text == "I drink black tea every morning"
    assert ended.valid_to == turns[4].event_time
    assert [ended.superseded_by] == [memory.id for memory in current]


async def test_the_profile_moves_by_pem_and_keeps_its_evidence(store: MemoryStore) -> None:
    turns = say(store, CONVERSATION)
    await stage_of(store, TaskEngine(RESPONDERS)).run(USER)
    history = [profile for profile in store.profile_history(USER) if profile.cause == "inferred"]
    assert [profile.evidence for profile in history] == [(turns[2].id,), (turns[4].id,)]
    assert [profile.smoothing for profile in history] == pytest.approx([0.5016, 0.5063], abs=1e-3)
    assert store.profile(USER).traits[:4] == (3.0,) * 4
    assert store.profile(USER).traits[4] == pytest.approx(1.503, abs=1e-2)


async def test_without_consent_nothing_is_inferred(store: MemoryStore) -> None:
    say(store, CONVERSATION)
    store.save_profile(
        USER, Profile(version=0, consent=False, cause="consent", event_time=START, recorded_at=START)
    )
    before = store.profile(USER)
    engine = TaskEngine(RESPONDERS)
    await stage_of(store, engine).run(USER)
    assert "personality" not in engine.tasks
    assert store.profile(USER) == before


async def test_malformed_output_gets_one_more_try_and_then_counts_as_done(store: MemoryStore) -> None:
    say(store, CONVERSATION[:2])
    engine = TaskEngine({"personality": lambda rows: "very calm", "semantic": lambda rows: "nothing"})
    await stage_of(store, engine).run(USER)
    assert engine.tasks == ["personality", "personality", "semantic", "semantic"] * 2
    assert "Answer again" in engine.conversations[1].segments[2].text
    assert store.progress(USER).turns == 2
    assert store.memories(USER) == () and store.profile(USER).version == 0


async def test_a_second_try_that_can_be_read_is_used(store: MemoryStore) -> None:
    [turn] = say(store, [(0 * HOUR, "I love figs")])
    scores = json.dumps(dict.fromkeys(TRAITS, 4))
    add = json.dumps({"operations": [{"op": "add", "text": "I love figs."}]})
    mixed = scores[:-1] + ", " + add[1:]  # one object that answers both tasks
    await stage_of(store, ScriptedEngine(["hm", mixed])).run(USER)
    assert [memory.text for memory in store.memories(USER)] == ["I love figs."]
    assert store.profile(USER).evidence == (turn.id,)


async def test_a_concept_carries_the_image_that_shows_it(store: MemoryStore) -> None:
    image = store.put_image(USER, PIXEL, "image/png", 1, 1)
    concept = {"op": "add", "text": "My mug, a blue one.", "category": "concept"}
    store.append_turn(USER, TurnDraft("This is my mug", "Nice.", START, images=(image,)))
    engine = TaskEngine({"semantic": lambda rows: json.dumps({"operations": [concept]})})
    await stage_of(store, engine).run(USER)
    [memory] = store.memories(USER)
    assert isinstance(memory, SemanticMemory) and memory.images == (image,)
    assert engine.conversations[-1].segments[0].images == (image,)
    assert await engine.conversations[-1].load_image(image) == PIXEL


async def test_two_runs_of_one_user_do_each_step_once(store: MemoryStore) -> None:
    say(store, CONVERSATION)
    engine = TaskEngine(RESPONDERS)
    stage = stage_of(store, engine)
    worked = await asyncio.gather(stage.run(USER), stage.run(USER))
    assert list(worked) == [True, False]
    assert engine.tasks.count("semantic") == len(CONVERSATION)


async def test_the_rules_learn_from_a_short_history(store: MemoryStore) -> None:
    said = [
        (0 * HOUR, "Hi! I'm Mia and I live in Porto. I love cola, I drink it with every lunch."),
        (0.1 * HOUR, "I run every Thursday before work."),
        (48 * HOUR, "I switched from cola to ginger tea yesterday."),
    ]
    say(store, said)
    stage = stage_of(store, RulesEngine())
    await stage.close_sessions(USER, START + 99 * HOUR)
    await stage.run(USER)
    core = {m.key: m.text for m in store.memories(USER, MemoryKind.CORE) if isinstance(m, CoreMemory)}
    assert core["name"] == "Mia" and core["home"] == "Lives in Porto."
    assert (
        core["preference_cola_drink"] == "I switched from cola to ginger tea yesterday (Monday 18 May 2026)."
    )
    ended = [m for m in store.memories(USER, MemoryKind.SEMANTIC, include_ended=True) if m.valid_to]
    assert [m.text for m in ended] == ["I love cola, I drink it with every lunch."]
    assert [m.text for m in store.memories(USER, MemoryKind.PROCEDURAL)] == [
        "I run every Thursday before work."
    ]
    assert len(store.memories(USER, MemoryKind.EPISODIC)) == 2
