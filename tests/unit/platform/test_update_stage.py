"""The update stage over a real store: what it writes, in which order, and after which failures."""

import asyncio
import base64
import json
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from personavlm.memory_store import MemoryStore
from personavlm.memory_store.records import (
    TRAITS,
    Add,
    AnyMemory,
    EpisodicMemory,
    MemoryKind,
    Operation,
    Profile,
    Progress,
    SemanticMemory,
    Turn,
    TurnDraft,
    UserKey,
)
from personavlm.platform.encoders.image_descriptor import ImageDescriptor
from personavlm.platform.encoders.minilm import MiniLmEncoder
from personavlm.platform.engines.base import Chunk, Conversation, Sampling
from personavlm.platform.engines.scripted import ScriptedEngine
from personavlm.platform.errors import EngineUnavailable
from personavlm.platform.prompts.render import read_rows, read_task
from personavlm.platform.updates import UpdateSettings, UpdateStage
from personavlm.platform.updates.episodic import cover

USER = UserKey("tenant", "mia")
START = datetime(2026, 5, 17, 9, tzinfo=UTC)
WALL = datetime(2026, 6, 30, 9, tzinfo=UTC)
HOUR = timedelta(hours=1)
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGNgYPgPAAEDAQAIicLsAAAAAElFTkSuQmCC"
)
NOTHING = '{"operations": []}'

Responder = Callable[[dict[str, list[dict[str, Any]]]], str]


class TaskEngine:
    """Answers each update task by a function of its data; fails at one call where told to."""

    model = "tasks"
    description = "Answers by task."

    def __init__(self, responders: dict[str, Responder], fail_at: int | None = None) -> None:
        self.responders, self.fail_at, self.calls = responders, fail_at, 0
        self.tasks: list[str] = []
        self.conversations: list[Conversation] = []

    async def stream(self, conversation: Conversation, sampling: Sampling) -> AsyncGenerator[Chunk, None]:
        self.calls += 1
        if self.calls == self.fail_at:
            raise EngineUnavailable("connection refused")
        prompt = conversation.segments[0].text
        self.tasks.append(read_task(prompt))
        self.conversations.append(conversation)
        responder = self.responders.get(self.tasks[-1])
        yield Chunk(responder(read_rows(prompt)) if responder else NOTHING, "stop")

    async def close(self) -> None:
        return None


def score(rows: dict[str, list[dict[str, Any]]]) -> str:
    """Calm says so; a goodbye sounds calm only to who knows the user's name."""
    said = rows["turn"][0]["user"]
    calm = "calm" in said or ("Goodbye" in said and rows["core"])
    return json.dumps(dict.fromkeys(TRAITS, 3) | ({"neuroticism": 1} if calm else {}))


def extract(rows: dict[str, list[dict[str, Any]]]) -> str:
    """Remember what starts with "I"; what is about tea supersedes what was about tea."""
    turn = rows["turn"][0]
    if not turn["user"].startswith("I "):
        return NOTHING
    old = [row["id"] for row in rows["related"] if "tea" in row["text"] and "tea" in turn["user"]]
    add = {"op": "add", "text": turn["user"], "category": "preference", "evidence": [turn["id"]]}
    return json.dumps({"operations": [add | {"supersedes": old[-1] if old else None}]})


def summarise(rows: dict[str, list[dict[str, Any]]]) -> str:
    """One topic from the first half of the turns; the others are left out."""
    ids = [row["id"] for row in rows["turns"]]
    text = f"Session of {len(ids)} turns from {rows['turns'][0]['time']}."
    return json.dumps({"operations": [{"op": "add", "text": text, "evidence": ids[: len(ids) // 2 + 1]}]})


def remember_name(rows: dict[str, list[dict[str, Any]]]) -> str:
    held = rows["core"]
    named = [row for row in rows["turns"] if "my name is" in row["user"]]
    if not named:
        return json.dumps(
            {"operations": [{"op": "delete", "id": row["id"], "reason": "test"} for row in held]}
        )
    add = {"op": "add", "key": "name", "text": named[-1]["user"].split()[-1], "evidence": [named[-1]["id"]]}
    return json.dumps({"operations": [add]})


def list_habits(rows: dict[str, list[dict[str, Any]]]) -> str:
    habits = [row for row in rows["turns"] if "every" in row["user"]]
    return json.dumps(
        {
            "operations": [
                {"op": "add", "key": row["user"][:20], "text": row["user"], "evidence": [row["id"]]}
                for row in habits
            ]
        }
    )


RESPONDERS: dict[str, Responder] = {
    "personality": score,
    "semantic": extract,
    "episodic": summarise,
    "procedural": list_habits,
    "core": remember_name,
}

CONVERSATION: list[tuple[timedelta, str]] = [
    (0 * HOUR, "Hello, my name is Mia"),
    (0.1 * HOUR, "I drink black tea every morning"),
    (0.2 * HOUR, "I am calm today"),
    (5 * HOUR, "How are you?"),
    (5.1 * HOUR, "I gave up black tea for green tea, it keeps me calm"),
    (30 * HOUR, "Good morning"),
    (30.5 * HOUR, "I run every Thursday"),
]

# The last turn of its first session leaves no trace if it is looked at before that session is consolidated.
WITH_GOODBYE = [*CONVERSATION[:3], (0.25 * HOUR, "Goodbye"), *CONVERSATION[3:]]


@pytest.fixture(scope="module")
def encoder() -> MiniLmEncoder:
    return MiniLmEncoder()


@pytest.fixture
def store(tmp_path: Path, encoder: MiniLmEncoder) -> Iterator[MemoryStore]:
    opened = open_store(tmp_path / "store", encoder)
    yield opened
    opened.close()


def open_store(folder: Path, encoder: MiniLmEncoder) -> MemoryStore:
    return MemoryStore.open(folder, text_encoder=encoder, image_encoder=ImageDescriptor(), clock=lambda: WALL)


def say(store: MemoryStore, turns: list[tuple[timedelta, str]], *, past: bool = False) -> list[Turn]:
    return [
        store.append_turn(USER, TurnDraft(text, "I see.", START + after, allow_past=past))
        for after, text in turns
    ]


def stage_of(
    store: MemoryStore,
    engine: TaskEngine | ScriptedEngine,
    now: datetime = WALL,
    settings: UpdateSettings | None = None,
) -> UpdateStage:
    return UpdateStage(store, engine, settings=settings, clock=lambda: now)


def state_of(store: MemoryStore) -> tuple[object, ...]:
    """Everything that the stage wrote."""
    memories = [store.history(USER, m.id) for m in store.memories(USER, include_ended=True)]
    return memories, store.profile_history(USER), store.progress(USER)


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


async def test_an_engine_that_fails_anywhere_leaves_the_same_final_state(
    tmp_path: Path, encoder: MiniLmEncoder
) -> None:
    undisturbed = open_store(tmp_path / "undisturbed", encoder)
    say(undisturbed, WITH_GOODBYE)
    engine = TaskEngine(RESPONDERS)
    await stage_of(undisturbed, engine).run(USER)
    for failing in range(1, engine.calls + 1):
        store = open_store(tmp_path / f"failing-{failing}", encoder)
        say(store, WITH_GOODBYE)
        with pytest.raises(EngineUnavailable):
            await stage_of(store, TaskEngine(RESPONDERS, failing)).run(USER)
        assert await stage_of(store, TaskEngine(RESPONDERS)).run(USER)
        assert state_of(store) == state_of(undisturbed), f"after a failure at call {failing}"
        assert not await stage_of(store, TaskEngine(RESPONDERS)).run(USER)
        store.close()


Written = TypeVar("Written")


class Killed(BaseException):
    """The process is gone."""


class DyingStore(MemoryStore):
    """Dies at its n-th write, before it or just after, and writes nothing ever after."""

    writes_left = 10**6
    dies_after_write = False

    def _write(self, write: Callable[[], Written]) -> Written:
        self.writes_left -= 1
        if self.writes_left < 0 or (self.writes_left == 0 and not self.dies_after_write):
            raise Killed
        written = write()
        if self.writes_left == 0:
            raise Killed
        return written

    def apply(
        self, user: UserKey, kind: MemoryKind, source: str, operations: Sequence[Operation]
    ) -> tuple[AnyMemory, ...]:
        write = partial(super().apply, user, kind, source, operations)
        return self._write(write) if operations else write()

    def save_profile(self, user: UserKey, profile: Profile) -> Profile:
        return self._write(partial(super().save_profile, user, profile))

    def save_progress(self, user: UserKey, progress: Progress) -> None:
        self._write(partial(super().save_progress, user, progress))


def open_dying(folder: Path, encoder: MiniLmEncoder) -> DyingStore:
    return DyingStore.open(folder, text_encoder=encoder, image_encoder=ImageDescriptor(), clock=lambda: WALL)


@pytest.mark.parametrize("dies_after_write", [False, True])
async def test_a_death_at_any_write_leaves_the_same_final_state(
    tmp_path: Path, encoder: MiniLmEncoder, dies_after_write: bool
) -> None:
    undisturbed = open_store(tmp_path / "undisturbed", encoder)
    say(undisturbed, WITH_GOODBYE)
    await stage_of(undisturbed, TaskEngine(RESPONDERS)).run(USER)
    for fatal in range(1, 100):
        folder = tmp_path / f"fatal-{fatal}"
        dying = open_dying(folder, encoder)
        say(dying, WITH_GOODBYE)
        dying.writes_left, dying.dies_after_write = fatal, dies_after_write
        try:
            await stage_of(dying, TaskEngine(RESPONDERS)).run(USER)
        except Killed:
            revived = open_store(folder, encoder)
            await stage_of(revived, TaskEngine(RESPONDERS)).run(USER)
            assert state_of(revived) == state_of(undisturbed), f"after death at write {fatal}"
        else:
            break
    assert fatal > 10


def always(kind: str) -> Responder:
    """A responder whose every answer leaves a trace."""

    def answer(rows: dict[str, list[dict[str, Any]]]) -> str:
        shown = rows.get("turns") or rows["turn"]
        number = shown[0]["user"].split()[-1]
        add = {"op": "add", "text": f"{kind} {number}", "key": f"key {number}", "evidence": [shown[0]["id"]]}
        return json.dumps({"operations": [add], **dict.fromkeys(TRAITS, 4)})

    return answer


async def test_no_step_is_asked_again_once_it_left_a_trace(tmp_path: Path, encoder: MiniLmEncoder) -> None:
    turns = [(number * 0.7 * HOUR, f"Number {number}") for number in (0, 1, 3, 4, 6)]
    responders = {task: always(task) for task in RESPONDERS}
    undisturbed = TaskEngine(responders)
    store = open_store(tmp_path / "undisturbed", encoder)
    say(store, turns)
    await stage_of(store, undisturbed).run(USER)
    for fatal in range(1, 100):
        dying = open_dying(tmp_path / f"fatal-{fatal}", encoder)
        say(dying, turns)
        dying.writes_left, dying.dies_after_write = fatal, True
        first, second = TaskEngine(responders), TaskEngine(responders)
        try:
            await stage_of(dying, first).run(USER)
        except Killed:
            await stage_of(open_store(tmp_path / f"fatal-{fatal}", encoder), second).run(USER)
            assert first.tasks + second.tasks == undisturbed.tasks, f"after death at write {fatal}"
        else:
            break
    assert fatal > len(undisturbed.tasks)


async def test_turns_before_a_trace_are_not_asked_for_again(tmp_path: Path, encoder: MiniLmEncoder) -> None:
    dying = open_dying(tmp_path / "store", encoder)
    say(dying, CONVERSATION[:3])
    dying.writes_left, dying.dies_after_write = 1, True
    with pytest.raises(Killed):  # after the memory of the second turn
        await stage_of(dying, TaskEngine(RESPONDERS)).run(USER)
    engine = TaskEngine(RESPONDERS)
    await stage_of(open_store(tmp_path / "store", encoder), engine).run(USER)
    prompts = [read_rows(conversation.segments[0].text) for conversation in engine.conversations]
    assert [rows["turn"][0]["user"] for rows in prompts] == [
        "I drink black tea every morning",  # its personality left no trace
        "I am calm today",
        "I am calm today",
    ]


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


async def test_a_part_begun_before_a_death_is_finished_as_it_was_though_the_session_goes_on(
    tmp_path: Path, encoder: MiniLmEncoder
) -> None:
    store = open_store(tmp_path / "store", encoder)
    turns = say(store, CONVERSATION[:2])
    idle = stage_of(store, TaskEngine(RESPONDERS, fail_at=6), WALL + 2 * HOUR)
    with pytest.raises(EngineUnavailable):  # at the procedural step, when the episodes are written
        await idle.run(USER)
    later = say(store, [(0.3 * HOUR, "I like figs"), (9 * HOUR, "Hello")])
    await stage_of(store, TaskEngine(RESPONDERS)).run(USER)
    episodes = store.memories(USER, MemoryKind.EPISODIC)
    assert [memory.evidence for memory in episodes] == [tuple(t.id for t in turns), (later[0].id,)]
    assert store.progress(USER) == Progress(turns=4, consolidated=3)


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


async def test_a_long_session_is_consolidated_in_parts(store: MemoryStore) -> None:
    say(store, [(0.1 * number * HOUR, f"Number {number}") for number in range(7)])
    engine = TaskEngine(RESPONDERS)
    stage = stage_of(store, engine, settings=UpdateSettings(consolidated_turns=3))
    await stage.close_sessions(USER, START + 9 * HOUR)
    await stage.run(USER)
    sizes = [len(memory.evidence) for memory in store.memories(USER, MemoryKind.EPISODIC)]
    assert sizes == [3, 2, 2]


async def test_progress_is_saved_once_per_batch(tmp_path: Path, encoder: MiniLmEncoder) -> None:
    store = open_dying(tmp_path / "store", encoder)
    say(store, [(0.01 * number * HOUR, f"Number {number}") for number in range(25)])
    store.writes_left = 100
    await stage_of(store, TaskEngine({}), settings=UpdateSettings(save_every=10)).run(USER)
    assert store.writes_left == 100 - 3


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
