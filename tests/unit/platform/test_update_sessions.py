"""When sessions close, and which turns are consolidated together."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from personavlm.memory_store import MemoryStore
from personavlm.memory_store.records import Add, MemoryKind, Progress, Turn
from personavlm.platform.engines.base import Chunk, Conversation, Sampling
from personavlm.platform.errors import EngineUnavailable
from personavlm.platform.updates import UpdateSettings
from personavlm.platform.updates.episodic import cover
from tests.unit.platform.update_workbench import (
    CONVERSATION,
    HOUR,
    RESPONDERS,
    START,
    USER,
    WALL,
    Responder,
    TaskEngine,
    close_stores,
    open_store,
    say,
    stage_of,
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[MemoryStore]:
    opened = open_store(tmp_path / "store")
    yield opened
    close_stores()


async def test_an_idle_session_closes_by_the_wall_clock_not_by_its_own_times(store: MemoryStore) -> None:
    say(store, CONVERSATION[:3])  # months before WALL, at which they are recorded
    soon = stage_of(store, TaskEngine(RESPONDERS), WALL + 0.9 * HOUR)
    await soon.run(USER)
    assert store.progress(USER) == Progress(turns=3, consolidated=0)
    assert not await soon.due(USER, WALL + 0.9 * HOUR)
    assert await soon.due(USER, WALL + HOUR)
    later = stage_of(store, TaskEngine(RESPONDERS), WALL + HOUR)
    assert await later.due(USER, WALL + HOUR)
    assert await later.run(USER)
    assert store.progress(USER) == Progress(turns=3, consolidated=3)
    assert not await later.due(USER, WALL + 1000 * HOUR)


async def test_a_caller_closes_the_open_session_by_the_timeline(store: MemoryStore) -> None:
    turns = say(store, CONVERSATION)
    stage = stage_of(store, TaskEngine(RESPONDERS))
    assert await stage.close_sessions(USER, START + 31 * HOUR) == [turns[0].id, turns[3].id]
    await stage.run(USER)
    assert store.progress(USER).consolidated == 5
    assert await stage.close_sessions(USER, START + 31.5 * HOUR) == [turns[5].id]
    await stage.run(USER)
    assert store.progress(USER).consolidated == 7
    assert await stage.close_sessions(USER, START + 99 * HOUR) == []


async def test_a_close_survives_an_engine_failure(store: MemoryStore) -> None:
    say(store, CONVERSATION[:1])
    engine = TaskEngine(RESPONDERS, fail_at=4)
    stage = stage_of(store, engine)
    await stage.close_sessions(USER, START + HOUR)
    with pytest.raises(EngineUnavailable):
        await stage.run(USER)
    await stage.run(USER)
    assert store.progress(USER).consolidated == 1


class WaitingEngine(TaskEngine):
    """Answers nothing until it is let go."""

    def __init__(self, responders: dict[str, Responder]) -> None:
        super().__init__(responders)
        self.asked, self.let_go = asyncio.Event(), asyncio.Event()

    async def stream(self, conversation: Conversation, sampling: Sampling) -> AsyncGenerator[Chunk, None]:
        self.asked.set()
        await self.let_go.wait()
        async for chunk in super().stream(conversation, sampling):
            yield chunk


async def test_a_close_during_a_run_holds_for_the_next(store: MemoryStore) -> None:
    say(store, CONVERSATION[:1])
    engine = WaitingEngine(RESPONDERS)
    stage = stage_of(store, engine)
    running = asyncio.create_task(stage.run(USER))
    await engine.asked.wait()
    await stage.close_sessions(USER, START + HOUR)
    engine.let_go.set()
    await running
    assert store.progress(USER) == Progress(turns=1, consolidated=0)
    await stage.run(USER)
    assert store.progress(USER) == Progress(turns=1, consolidated=1)


async def test_a_close_before_an_erasure_closes_nothing_after_it(store: MemoryStore) -> None:
    say(store, CONVERSATION[:3])
    stage = stage_of(store, TaskEngine(RESPONDERS))
    await stage.close_sessions(USER, START + 9 * HOUR)
    store.eraser.erase_user(USER)
    say(store, CONVERSATION[:1])
    await stage.run(USER)
    assert store.progress(USER) == Progress(turns=1, consolidated=0)


async def test_what_a_run_learned_of_who_is_erased_meanwhile_is_dropped(store: MemoryStore) -> None:
    say(store, CONVERSATION[2:3])
    engine = WaitingEngine(RESPONDERS)
    running = asyncio.create_task(stage_of(store, engine).run(USER))
    await engine.asked.wait()
    store.eraser.erase_user(USER)
    engine.let_go.set()
    await running
    assert store.profile(USER).version == 0
    assert store.memories(USER) == ()


async def test_turns_imported_late_are_consolidated_by_sitting(store: MemoryStore) -> None:
    say(store, CONVERSATION)
    stage = stage_of(store, TaskEngine(RESPONDERS))
    await stage.run(USER)
    late = say(store, [(-99 * HOUR, "I drank lemon tea then"), (-98.5 * HOUR, "I slept well")], past=True)
    await stage.close_sessions(USER, START + 99 * HOUR)
    await stage.run(USER)
    assert store.progress(USER) == Progress(turns=9, consolidated=9)
    episodes = store.memories(USER, MemoryKind.EPISODIC)
    assert tuple(turn.id for turn in late) in [memory.evidence for memory in episodes]
    current = [memory.text for memory in store.memories(USER, MemoryKind.SEMANTIC) if "tea" in memory.text]
    assert current == ["I gave up black tea for green tea, it keeps me calm", "I drank lemon tea then"]


async def test_a_long_session_is_consolidated_in_parts(store: MemoryStore) -> None:
    say(store, [(0.1 * number * HOUR, f"Number {number}") for number in range(7)])
    engine = TaskEngine(RESPONDERS)
    stage = stage_of(store, engine, settings=UpdateSettings(consolidated_turns=3))
    await stage.close_sessions(USER, START + 9 * HOUR)
    await stage.run(USER)
    sizes = [len(memory.evidence) for memory in store.memories(USER, MemoryKind.EPISODIC)]
    assert sizes == [3, 2, 2]


@given(st.lists(st.sets(st.integers(0, 6), min_size=1), max_size=4), st.integers(7, 12))
def test_topics_cover_every_turn_whatever_the_model_left_out(topics: list[set[int]], count: int) -> None:
    turns = [
        Turn(f"t_{i}", i, "t_0", START + i * HOUR, START, f"turn {i}", "", (), "", "") for i in range(count)
    ]
    adds = [Add("topic", START, tuple(f"t_{i}" for i in sorted(topic))) for topic in topics]
    covered = cover(adds, turns)
    assert len(covered) == max(1, len(adds))
    assert {turn_id for topic in covered for turn_id in topic.evidence} == {turn.id for turn in turns}
    for topic in covered:
        indexes = [int(turn_id[2:]) for turn_id in topic.evidence]
        assert indexes == sorted(indexes)
        assert topic.event_time == START + min(indexes) * HOUR
        assert topic.end_time == START + max(indexes) * HOUR


def test_a_stray_turn_goes_to_the_nearest_topic() -> None:
    turns = [Turn(f"t_{i}", i, "t_0", START + i * HOUR, START, f"turn {i}", "") for i in range(6)]
    adds = [Add("first", START, ("t_0", "t_1")), Add("second", START, ("t_4",))]
    first, second = cover(adds, turns)
    assert first.evidence == ("t_0", "t_1", "t_2")
    assert second.evidence == ("t_3", "t_4", "t_5")
