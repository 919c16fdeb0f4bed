"""The update stage interrupted anywhere ends as if it had not been."""

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest

from personavlm.memory_store import MemoryStore
from personavlm.memory_store.records import (
    TRAITS,
    AnyMemory,
    MemoryKind,
    Operation,
    Profile,
    Progress,
    UserKey,
)
from personavlm.platform.errors import EngineUnavailable
from personavlm.platform.prompts.render import read_rows
from personavlm.platform.updates import UpdateSettings
from tests.unit.platform.update_workbench import (
    CONVERSATION,
    HOUR,
    RESPONDERS,
    USER,
    WALL,
    WITH_GOODBYE,
    Responder,
    Rows,
    TaskEngine,
    close_stores,
    open_anew,
    open_store,
    say,
    stage_of,
)


def state_of(store: MemoryStore) -> tuple[object, ...]:
    """Everything that the stage wrote."""
    memories = [store.history(USER, m.id) for m in store.memories(USER, include_ended=True)]
    return memories, store.profile_history(USER), store.progress(USER)


async def test_an_engine_that_fails_anywhere_leaves_the_same_final_state(tmp_path: Path) -> None:
    undisturbed = open_store(tmp_path / "undisturbed")
    say(undisturbed, WITH_GOODBYE)
    engine = TaskEngine(RESPONDERS)
    await stage_of(undisturbed, engine).run(USER)
    for failing in range(1, engine.calls + 1):
        store = open_store(tmp_path / f"failing-{failing}")
        say(store, WITH_GOODBYE)
        with pytest.raises(EngineUnavailable):
            await stage_of(store, TaskEngine(RESPONDERS, failing)).run(USER)
        assert await stage_of(store, TaskEngine(RESPONDERS)).run(USER)
        assert state_of(store) == state_of(undisturbed), f"after a failure at call {failing}"
        assert not await stage_of(store, TaskEngine(RESPONDERS)).run(USER)
        close_stores(tmp_path / f"failing-{failing}")


Written = TypeVar("Written")


class Killed(BaseException):
    """The process is gone."""


class DyingStore(MemoryStore):
    """Dies at its n-th write, before it or just after, and writes nothing ever after."""

    writes_left: int
    dies_after_write: bool

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


def open_dying(folder: Path, writes_left: int, dies_after_write: bool = True) -> DyingStore:
    store = open_anew(DyingStore, folder)
    store.writes_left, store.dies_after_write = writes_left, dies_after_write
    return store


@pytest.mark.parametrize("dies_after_write", [False, True])
async def test_a_death_at_any_write_leaves_the_same_final_state(
    tmp_path: Path, dies_after_write: bool
) -> None:
    undisturbed = open_store(tmp_path / "undisturbed")
    say(undisturbed, WITH_GOODBYE)
    await stage_of(undisturbed, TaskEngine(RESPONDERS)).run(USER)
    for fatal in range(1, 100):
        folder = tmp_path / f"fatal-{fatal}"
        dying = open_dying(folder, fatal, dies_after_write)
        say(dying, WITH_GOODBYE)
        try:
            await stage_of(dying, TaskEngine(RESPONDERS)).run(USER)
        except Killed:
            revived = open_store(folder)
            await stage_of(revived, TaskEngine(RESPONDERS)).run(USER)
            assert state_of(revived) == state_of(undisturbed), f"after death at write {fatal}"
        else:
            break
    assert fatal > 10


def always(kind: str) -> Responder:
    """A responder whose every answer leaves a trace."""

    def answer(rows: Rows) -> str:
        shown = rows.get("turns") or rows["turn"]
        number = shown[0]["user"].split()[-1]
        add = {"op": "add", "text": f"{kind} {number}", "key": f"key {number}", "evidence": [shown[0]["id"]]}
        return json.dumps({"operations": [add], **dict.fromkeys(TRAITS, 4)})

    return answer


async def test_no_step_is_asked_again_once_it_left_a_trace(tmp_path: Path) -> None:
    turns = [(number * 0.7 * HOUR, f"Number {number}") for number in (0, 1, 3, 4, 6)]
    responders = {task: always(task) for task in RESPONDERS}
    undisturbed = TaskEngine(responders)
    store = open_store(tmp_path / "undisturbed")
    say(store, turns)
    await stage_of(store, undisturbed).run(USER)
    for fatal in range(1, 100):
        dying = open_dying(tmp_path / f"fatal-{fatal}", fatal)
        say(dying, turns)
        first, second = TaskEngine(responders), TaskEngine(responders)
        try:
            await stage_of(dying, first).run(USER)
        except Killed:
            await stage_of(open_store(tmp_path / f"fatal-{fatal}"), second).run(USER)
            assert first.tasks + second.tasks == undisturbed.tasks, f"after death at write {fatal}"
        else:
            break
    assert fatal > len(undisturbed.tasks)


async def test_turns_before_a_trace_are_not_asked_for_again(tmp_path: Path) -> None:
    dying = open_dying(tmp_path / "store", 1)
    say(dying, CONVERSATION[:3])
    with pytest.raises(Killed):  # after the memory of the second turn
        await stage_of(dying, TaskEngine(RESPONDERS)).run(USER)
    engine = TaskEngine(RESPONDERS)
    await stage_of(open_store(tmp_path / "store"), engine).run(USER)
    prompts = [read_rows(conversation.segments[0].text) for conversation in engine.conversations]
    assert [rows["turn"][0]["user"] for rows in prompts] == [
        "I drink black tea every morning",  # its personality left no trace
        "I am calm today",
        "I am calm today",
    ]


async def test_a_part_that_was_begun_is_finished_though_the_session_goes_on(
    tmp_path: Path,
) -> None:
    store = open_store(tmp_path / "store")
    turns = say(store, CONVERSATION[:2])
    idle = stage_of(store, TaskEngine(RESPONDERS, fail_at=6), WALL + 2 * HOUR)
    with pytest.raises(EngineUnavailable):  # at the procedural step, when the episodes are written
        await idle.run(USER)
    later = say(store, [(0.3 * HOUR, "I like figs"), (9 * HOUR, "Hello")])
    await stage_of(store, TaskEngine(RESPONDERS)).run(USER)
    episodes = store.memories(USER, MemoryKind.EPISODIC)
    assert [memory.evidence for memory in episodes] == [tuple(t.id for t in turns), (later[0].id,)]
    assert store.progress(USER) == Progress(turns=4, consolidated=3)


async def test_progress_is_saved_once_per_batch(tmp_path: Path) -> None:
    store = open_dying(tmp_path / "store", 100)
    say(store, [(0.01 * number * HOUR, f"Number {number}") for number in range(25)])
    await stage_of(store, TaskEngine({}), settings=UpdateSettings(save_every=10)).run(USER)
    assert store.writes_left == 100 - 3
