"""Users with more turns than memory holds of them: every answer as if it held them all."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from personavlm.memory_store import (
    Add,
    AsOf,
    InvalidError,
    MemoryKind,
    MemoryStore,
    SearchRequest,
    TurnDraft,
    UserKey,
    Window,
)
from personavlm.memory_store.storage.sealing import InTheClear, Protection
from personavlm.memory_store.storage.settings import StorageSettings
from tests.unit.memory_store.encoders import WordEncoder, close_stores, open_store
from tests.unit.memory_store.places import examples
from tests.unit.memory_store.sealed_rows import new_sealer
from tests.unit.memory_store.steps import START, day, ids, remember, say

HOT = 5
USER = UserKey("acme", "anna")
WORDS = ["tea", "coffee", "run", "swim", "Berlin", "Oslo", "piano", "violin"]


@dataclass(frozen=True)
class Said:
    minutes: int
    text: str
    indexed: bool
    flushed: bool
    cited: bool


SAID = st.builds(
    Said,
    st.sampled_from([-5000, -30, 0, 1, 30, 3000]),
    st.lists(st.sampled_from(WORDS), min_size=1, max_size=3).map(" ".join),
    st.booleans(),
    st.booleans(),
    st.booleans(),
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[MemoryStore]:
    yield open_store(tmp_path, storage=StorageSettings(hot_turns=HOT))
    close_stores(tmp_path)


def live_through(store: MemoryStore, user: UserKey, history: list[Said]) -> None:
    """Turns of which some lie in the past, some are evidence, some were indexed at their time."""
    now = START
    for number, said in enumerate(history):
        now += timedelta(minutes=said.minutes)
        draft = TurnDraft(said.text, "noted", event_time=now, allow_past=True, client_id=f"c{number}")
        turn = store.append_turn(user, draft)
        if said.cited:
            add = Add(said.text, now, (store.turns(user)[0].id, turn.id), end_time=now)
            store.apply(user, MemoryKind.EPISODIC, f"turn:{turn.id}", [add])
        if said.indexed:
            store.index(user)
        if said.flushed:
            store.flush()
    store.index(user)
    store.evict()


def answers(store: MemoryStore, user: UserKey) -> dict[str, Any]:
    """What every read gives that turns have a part in."""
    turns = store.turns(user)
    middle = turns[len(turns) // 2]
    times = [None, *(AsOf(middle.event_time, "timeline"), AsOf(middle.recorded_at, "recorded"))]
    windows = [Window(), Window(end=middle.event_time), Window(middle.event_time, middle.event_time)]
    return {
        "turns": [store.turns(user, first_index=first, as_of=at) for first in (0, 2, 7) for at in times],
        "sessions": [store.turns(user, session=turn.session) for turn in turns],
        "one": [store.turn(user, turn.id) for turn in turns],
        "newest": store.newest_turn(user),
        "context": [store.context(user, middle.event_time, as_of=at) for at in times],
        "timeline": [
            store.timeline(user, window, limit, newest)
            for window in windows
            for limit in (0, 3, 99)
            for newest in (True, False)
        ],
        "search": [
            found(store, user, SearchRequest("tea, Berlin", "running", window=window, as_of=at, k_turns=k))
            for window in windows
            for at in times
            for k in ((3, 99) if at is None else (3,))
        ],
        "unseen": found(store, user, SearchRequest("coffee", exclude=frozenset([turns[0].id, turns[-1].id]))),
        "near": [
            (near.id, near.field, pytest.approx(near.cosine, abs=1e-5))
            for near in sorted(
                store.nearest(user, WordEncoder().encode(["tea"])[0], 999),
                key=lambda near: (near.id, near.field),
            )
        ],
    }


def found(store: MemoryStore, user: UserKey, request: SearchRequest) -> list[Any]:
    result = store.search(user, request)
    hits = [*result.turns, *result.episodic]
    return [
        result.widened,
        *((hit.item, pytest.approx(hit.score, abs=1e-3), hit.outside_window) for hit in hits),
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    yield (folder := tmp_path_factory.mktemp("stores"))
    close_stores(*(folder / name for name in ("all", "clear", "sealed")))


@pytest.fixture(scope="module")
def stores(folder: Path) -> Iterator[tuple[MemoryStore, ...]]:
    """One that holds every turn, two that hold few, of which one encrypts."""
    with new_sealer() as sealer:

        def opened(name: str, hot: int, protection: Protection = InTheClear()) -> MemoryStore:
            settings = StorageSettings(hot_turns=hot, protection=protection)
            return open_store(folder / name, storage=settings, clock=lambda: START)

        yield opened("all", 10_000), opened("clear", HOT), opened("sealed", HOT, sealer)


users = iter(UserKey("acme", f"user {number}") for number in range(10**6))


@settings(max_examples=examples(5), deadline=None)
@given(st.lists(SAID, min_size=9, max_size=16))
def test_a_store_that_holds_few_turns_answers_like_one_that_holds_all(
    stores: tuple[MemoryStore, ...], history: list[Said]
) -> None:
    user = next(users)
    for store in stores:
        live_through(store, user, history)
    expected = answers(stores[0], user)
    for store in stores[1:]:
        assert answers(store, user) == expected


def test_memory_holds_few_turns_however_many_come(store: MemoryStore) -> None:
    for number in range(40):
        say(store, USER, number, f"walk number {number}")
        with store._cache.hold(USER) as state:
            assert len(state.records.turns) <= HOT + HOT // 4
            assert len(state.records.turns) + len(state.records.cold) == number + 1


def test_a_cold_turn_is_not_stored_twice(store: MemoryStore) -> None:
    drafts = [TurnDraft(f"walk {n}", "noted", event_time=day(n), client_id=f"c{n}") for n in range(12)]
    first, new = store.append_turns(USER, drafts)
    assert new == 12
    assert store.append_turns(USER, drafts) == (first, 0)
    assert len(store.turns(USER)) == 12


def test_a_cold_turn_is_evidence_and_an_unknown_one_is_not(store: MemoryStore) -> None:
    cold, *_ = [say(store, USER, number, f"walk {number}") for number in range(12)]
    memory = remember(store, USER, MemoryKind.SEMANTIC, Add("walks", day(20), (cold.id,)))
    assert memory.revised_at == cold.event_time
    with pytest.raises(InvalidError):
        remember(store, USER, MemoryKind.SEMANTIC, Add("swims", day(20), ("t_unknown",)))


def test_turns_that_went_cold_before_they_had_vectors_get_them(store: MemoryStore) -> None:
    turns = [say(store, USER, number, WORDS[number % 8]) for number in range(16)]
    tea = WordEncoder().encode(["tea"])[0]
    with store._cache.hold(USER) as state:
        assert not np.isfinite(state.records.cold.cosines([tea])).any()
    store.index(USER)
    store.index(USER)
    with store._cache.hold(USER) as state:
        assert np.isfinite(state.records.cold.cosines([tea])).all()
    near = store.nearest(USER, tea, 2)
    assert {each.id for each in near} == {turns[0].id, turns[8].id}
    result = store.search(USER, SearchRequest("tea", k_turns=2))
    assert ids(result.turns) == [turns[0].id, turns[8].id]


def test_cold_turns_are_erased(store: MemoryStore) -> None:
    turns = [say(store, USER, number, f"{WORDS[number % 8]} {number}") for number in range(12)]
    store.index(USER)
    assert turns[0].id in ids(store.search(USER, SearchRequest("tea", k_turns=99)).turns)
    store.eraser.erase_range(USER, Window(day(0), day(3)))
    assert store.turns(USER) == tuple(turns[4:])
    assert say(store, USER, 20, "later").index == 12
    assert not set(ids(store.search(USER, SearchRequest("tea", k_turns=99)).turns)) & {
        turn.id for turn in turns[:4]
    }


def test_half_precision_is_near_enough(store: MemoryStore) -> None:
    for number in range(30):
        say(store, USER, number, " ".join(WORDS[place % 8] for place in range(number, 2 * number + 1)))
    store.index(USER)
    vector = WordEncoder().encode(["tea and coffee in Oslo"])[0]
    with store._cache.hold(USER) as state:
        cold = state.records.cold
        exact = {id: cosine for id, _, cosine in cold.nearest(vector, 99)}
        assert cold.cosines([vector]) == pytest.approx([exact[id] for id in cold.ids], abs=5e-4)


def test_what_a_search_holds_of_cold_turns_is_counted(store: MemoryStore) -> None:
    for number in range(30):
        say(store, USER, number, "three plain words", "two more")
    store.index(USER)
    _, listed = store._cache.size()
    with store._cache.hold(USER) as state:
        cold = state.records.cold
        cold.cosines([np.ones(64, np.float32)])
        cold.words()
    vectors, words = 2 * 64 * 2, 5 * 8  # two texts of 64 numbers in two bytes each; five words
    assert store._cache.size()[1] - listed >= len(cold) * (vectors + words)
