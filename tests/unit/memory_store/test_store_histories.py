"""Laws over whole histories: as of any time equals the replay up to it; reopening changes nothing."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from personavlm.memory_store import (
    Add,
    AnyMemory,
    AsOf,
    Context,
    Delete,
    MemoryKind,
    MemoryStore,
    Operation,
    Profile,
    Progress,
    SearchRequest,
    Turn,
    TurnDraft,
    Update,
    UserKey,
    Window,
)
from tests.unit.memory_store.conftest import Clock
from tests.unit.memory_store.encoders import open_store
from tests.unit.memory_store.places import examples

NewUser = Callable[[], UserKey]
START = datetime(2026, 3, 1, tzinfo=UTC)
WORDS = ["tea", "coffee", "run", "swim", "Berlin", "Oslo", "piano", "violin"]


@dataclass(frozen=True)
class Event:
    """A turn some minutes after the one before, and what an update stage makes of it."""

    minutes: int
    words: tuple[str, ...]
    kind: MemoryKind
    act: Literal["nothing", "add", "supersede", "update", "delete", "profile"]
    target: int


EVENTS = st.builds(
    Event,
    st.sampled_from([1, 30, 60, 3000]),
    st.lists(st.sampled_from(WORDS), min_size=1, max_size=3).map(tuple),
    st.sampled_from(list(MemoryKind)),
    st.sampled_from(["nothing", "add", "add", "supersede", "update", "delete", "profile"]),
    st.integers(0, 5),
)
HISTORIES = st.lists(EVENTS, min_size=1, max_size=8)


def operation(store: MemoryStore, user: UserKey, turn: Turn, event: Event) -> list[Operation]:
    text, time, evidence = " ".join(event.words), turn.event_time, (turn.id,)
    live = store.memories(user, event.kind)
    add = Add(text, time, evidence, key=f"key {turn.index}", keywords=event.words, end_time=time)
    if event.act in ("nothing", "profile"):
        return []
    if event.act == "add" or not live:
        return [add]
    target = live[event.target % len(live)].id
    if event.act == "supersede":
        return [Add(text, time, evidence, key=add.key, end_time=time, supersedes=target)]
    if event.act == "update":
        return [Update(target, text, time, evidence)]
    return [Delete(target, time, "reason", evidence)]


def live_through(store: MemoryStore, user: UserKey, event: Event, minutes: int) -> Turn:
    time = START + timedelta(minutes=minutes)
    turn = store.append_turn(user, TurnDraft(" ".join(event.words), "noted", event_time=time))
    store.apply(user, event.kind, f"turn:{turn.id}", operation(store, user, turn, event))
    if event.act == "profile":
        profile = Profile(
            version=store.profile(user).version,
            cause="inferred",
            event_time=time,
            recorded_at=time,
            source=turn.id,
        )
        store.save_profile(user, profile)
    store.save_progress(user, Progress(turn.index + 1, event.target))
    return turn


@dataclass(frozen=True)
class View:
    """All that a user's reads give."""

    turns: tuple[Turn, ...]
    memories: tuple[AnyMemory, ...]
    live: tuple[AnyMemory, ...]
    profile: Profile
    context: Context
    found: dict[str, list[tuple[AnyMemory | Turn, object]]]


def view(store: MemoryStore, user: UserKey, now: datetime, as_of: AsOf | None = None) -> View:
    many = {f"k_{kind}": 99 for kind in ("episodic", "semantic", "procedural", "visual", "turns")}
    found = store.search(user, SearchRequest("tea, Berlin", "running", as_of=as_of, **many))  # type: ignore[arg-type]
    return View(
        store.turns(user, as_of=as_of),
        store.memories(user, as_of=as_of, include_ended=True),
        store.memories(user, as_of=as_of),
        store.profile(user, as_of=as_of),
        store.context(user, now, as_of=as_of),
        {
            kind: [(hit.item, pytest.approx(hit.score, abs=1e-3)) for hit in getattr(found, kind)]
            for kind in ("semantic", "episodic", "procedural", "turns")
        },
    )


@settings(max_examples=examples(30), deadline=None)
@given(history=HISTORIES)
def test_as_of_equals_replay(
    store: MemoryStore, clock: Clock, new_user: NewUser, history: list[Event]
) -> None:
    user, minutes = new_user(), 0
    seen: list[tuple[datetime, datetime, View]] = []
    for event in history:
        minutes += event.minutes
        turn = live_through(store, user, event, minutes)
        seen.append((turn.event_time, clock.now, view(store, user, turn.event_time)))
    for happened, recorded, then in seen:
        assert view(store, user, happened, AsOf(happened, "timeline")) == then
        assert view(store, user, happened, AsOf(recorded, "recorded")) == then
    before = view(store, user, START, AsOf(START, "timeline"))
    assert not before.turns and not before.memories and before.profile.version == 0
    assert not any(before.found.values())


@pytest.fixture(scope="session")
def own_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("reopened")


@settings(max_examples=examples(12), deadline=None)
@given(history=HISTORIES)
def test_reopening_changes_nothing(own_folder: Path, new_user: NewUser, history: list[Event]) -> None:
    user, minutes = new_user(), 0
    store = open_store(own_folder)
    for event in history:
        minutes += event.minutes
        turn = live_through(store, user, event, minutes)
    store.index(user)

    def everything(store: MemoryStore) -> list[object]:
        memories = store.memories(user, include_ended=True)
        return [
            view(store, user, turn.event_time),
            [store.history(user, memory.id) for memory in memories],
            [
                store.applied(user, kind, f"turn:{turn.id}")
                for turn in store.turns(user)
                for kind in MemoryKind
            ],
            store.profile_history(user),
            store.progress(user),
            store.timeline(user),
            store.newest_turn(user),
        ]

    before = everything(store)
    reopened = open_store(own_folder)
    assert everything(reopened) == before
    assert user in reopened.users()


def test_the_recording_clock_may_step_back(tmp_path: Path) -> None:
    times = iter([START + timedelta(hours=1), START])
    store = open_store(tmp_path, clock=lambda: next(times))
    user = UserKey("t", "u")
    first, second = (store.append_turn(user, TurnDraft("a", "b", event_time=START)) for _ in range(2))
    assert second.recorded_at == first.recorded_at


def test_naive_times_are_refused(store: MemoryStore, new_user: NewUser) -> None:
    user, naive = new_user(), datetime(2026, 3, 1)
    reads: list[Callable[[], object]] = [
        lambda: store.turns(user, as_of=AsOf(naive)),
        lambda: store.memories(user, as_of=AsOf(naive, "recorded")),
        lambda: store.profile(user, as_of=AsOf(naive)),
        lambda: store.search(user, SearchRequest("a", as_of=AsOf(naive))),
        lambda: store.search(user, SearchRequest("a", window=Window(start=naive))),
        lambda: store.timeline(user, Window(end=naive)),
        lambda: store.save_profile(user, Profile(version=0, event_time=naive, recorded_at=naive)),
    ]
    for read in reads:
        with pytest.raises(ValueError, match="no time zone"):
            read()


def test_progress_is_kept(store: MemoryStore, new_user: NewUser) -> None:
    user = new_user()
    assert store.progress(user) == Progress()
    for progress in (Progress(1, 0), Progress(2, 2), Progress(2, 2)):
        store.save_progress(user, progress)
        assert store.progress(user) == progress
