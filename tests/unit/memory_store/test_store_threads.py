"""Threads share a store; memory holds only the users seen last."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

from personavlm.memory_store import (
    Add,
    MemoryKind,
    SearchRequest,
    TurnDraft,
    UserKey,
)
from personavlm.memory_store.cache import EMPTY_BYTES, UserCache, UserState
from personavlm.memory_store.retrieval.index import SearchIndex
from personavlm.memory_store.working_set import WorkingSet
from tests.unit.memory_store.encoders import open_store

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def test_threads_lose_nothing_though_users_are_forgotten_and_loaded_again(tmp_path: Path) -> None:
    store = open_store(tmp_path, cache_mb=0.1)
    users = [UserKey("t", f"u{number}") for number in range(3)]

    def work(number: int) -> None:
        user = users[number % len(users)]
        turn = store.append_turn(user, TurnDraft(f"tea {number}", "ok"))
        assert store.turn(user, turn.id) == turn  # a write is seen at once
        store.apply(user, MemoryKind.SEMANTIC, f"turn:{turn.id}", [Add(f"tea {number}", NOW, (turn.id,))])
        assert turn.id in store.search(user, SearchRequest(f"tea {number}", k_turns=99)).ids()
        store.index(user)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(60)))
    for again in (False, True):
        reader = open_store(tmp_path) if again else store
        for number, user in enumerate(users):
            turns = reader.turns(user)
            assert {turn.user_text for turn in turns} == {f"tea {n}" for n in range(number, 60, 3)}
            assert [turn.index for turn in turns] == list(range(20))
            assert len(reader.memories(user)) == 20


def test_a_user_who_was_forgotten_reads_the_same(tmp_path: Path) -> None:
    store = open_store(tmp_path, cache_mb=0.01)
    users = [UserKey("t", f"u{number}") for number in range(3)]
    for round_ in range(3):
        for user in users:
            turn = store.append_turn(user, TurnDraft(f"round {round_}", "ok"))
            assert turn.index == round_ and store.newest_turn(user) == turn


def test_memory_holds_as_many_users_as_fit_the_ones_used_last() -> None:
    loaded: list[str] = []

    def load(user: UserKey) -> UserState:
        loaded.append(user.user)
        return UserState(WorkingSet(), SearchIndex(4, {}, {}), 100)

    cache = UserCache(load, max_bytes=2 * EMPTY_BYTES)
    for name in "aabbaccab":
        with cache.hold(UserKey("t", name)):
            pass
    assert "".join(loaded) == "abcb"
