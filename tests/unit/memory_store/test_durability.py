"""The journal: replay without loss or doubling, a bounded tail, and the change to durability by commit."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from personavlm.memory_store import Add, BusyError, MemoryKind, MemoryStore, Profile, TurnDraft, UserKey
from personavlm.memory_store.storage.settings import StorageSettings
from personavlm.memory_store.storage.table_repair import UNREADABLE
from tests.unit.memory_store.blocked import Blocked
from tests.unit.memory_store.encoders import close_stores, open_store
from tests.unit.memory_store.killed import drain_and_die, journalled, write_and_die
from tests.unit.memory_store.steps import day, say

ANN, BOB = UserKey("t", "ann"), UserKey("t", "bob")
COMMIT = StorageSettings("commit")


def said(store: MemoryStore, user: UserKey) -> list[str]:
    return [turn.user_text for turn in store.turns(user)]


def from_tables(store: MemoryStore, user: UserKey) -> list[str]:
    store.flush()
    store.evict()
    return said(store, user)


@pytest.mark.parametrize("drained", [0, 1, 3, 4])
def test_a_journal_that_was_drained_in_part_is_replayed_once(tmp_path: Path, drained: int) -> None:
    write_and_die(tmp_path, [(ANN, "one"), (BOB, "two"), (ANN, "three"), (BOB, "four")])
    assert journalled(tmp_path) == ["turns"] * 4
    drain_and_die(tmp_path, drained)
    for _ in range(2):
        store = open_store(tmp_path)
        for looked_up in (said, from_tables):
            assert (looked_up(store, ANN), looked_up(store, BOB)) == (["one", "three"], ["two", "four"])
    assert store.append_turn(ANN, TurnDraft("three", "ok", client_id="three")).index == 1
    assert store.append_turn(ANN, TurnDraft("five", "ok")).index == 2
    close_stores(tmp_path)
    assert journalled(tmp_path) == []


def test_rows_that_the_disk_lost_a_part_of_are_taken_from_the_journal(tmp_path: Path) -> None:
    """A loss of power: the table has them, whole as far as anybody can tell, and so has the journal."""
    text = "A long story about the sea. " * 40
    write_and_die(tmp_path, [(ANN, f"{number} {text}") for number in range(20)])
    drain_and_die(tmp_path, 20)
    for data in (tmp_path / "turns.lance" / "data").iterdir():
        whole = data.read_bytes()
        data.write_bytes(whole[:100] + bytes(200) + whole[300:])
    store = open_store(tmp_path)
    for looked_up in (said, from_tables):
        assert looked_up(store, ANN) == [f"{number} {text}" for number in range(20)]


@pytest.mark.parametrize("drained", [0, 1, 2])
def test_who_is_erased_right_after_a_crash_stays_erased(tmp_path: Path, drained: int) -> None:
    write_and_die(tmp_path, [(BOB, "two"), (ANN, "one")])
    drain_and_die(tmp_path, drained)
    store = open_store(tmp_path)
    assert store.eraser.erase_user(ANN).rows == {"turns": 1}
    for _ in range(2):
        assert (said(store, ANN), said(store, BOB)) == ([], ["two"])
        store = open_store(tmp_path)
    assert store.users() == (BOB,)


@pytest.mark.parametrize("drained", [0, 1, 2])
def test_a_journal_left_over_is_not_forgotten_when_durability_changes(tmp_path: Path, drained: int) -> None:
    write_and_die(tmp_path, [(ANN, "one"), (BOB, "two")])
    drain_and_die(tmp_path, drained)
    store = open_store(tmp_path, storage=COMMIT)
    assert (said(store, ANN), said(store, BOB)) == (["one"], ["two"])
    say(store, ANN, 9_000, "three")
    for storage in (COMMIT, StorageSettings(), COMMIT):
        store = open_store(tmp_path, storage=storage)
        assert (from_tables(store, ANN), from_tables(store, BOB)) == (["one", "three"], ["two"])
    close_stores(tmp_path)
    assert journalled(tmp_path) == []


def test_a_journal_that_cannot_be_drained_forbids_the_change(tmp_path: Path) -> None:
    write_and_die(tmp_path, [(ANN, "one")])
    with Blocked(tmp_path), pytest.raises(UNREADABLE):
        open_store(tmp_path, storage=COMMIT)
    assert said(open_store(tmp_path, storage=COMMIT), ANN) == ["one"]


def test_tables_that_cannot_be_written_hold_writers_up_and_lose_nothing(tmp_path: Path) -> None:
    bound = 12
    store = open_store(tmp_path, storage=StorageSettings(tail_rows=bound))
    users = [UserKey("t", f"user {number}") for number in range(4)]
    acknowledged: dict[UserKey, list[str]] = {user: [] for user in users}
    refused: list[str] = []

    def write(user: UserKey) -> None:
        for number in range(2 * bound):
            try:
                store.append_turn(user, TurnDraft(f"turn {number}", "ok"))
            except BusyError as error:
                refused.append(str(error))
                return
            acknowledged[user].append(f"turn {number}")
            assert store.stats().tail_rows <= bound

    with Blocked(tmp_path), ThreadPoolExecutor(len(users)) as pool:
        list(pool.map(write, users))
        assert store.stats().tail_failure
        assert len(refused) == len(users)
        assert all("os error" in text and "try again" in text for text in refused)
        assert sum(map(len, acknowledged.values())) == bound == store.stats().tail_rows
        for user in users:
            assert said(store, user) == acknowledged[user]
    store.flush()
    assert store.stats().tail_rows == 0
    say(store, users[0], 9_000, "after")
    acknowledged[users[0]].append("after")
    for _ in range(2):
        assert {user: from_tables(store, user) for user in users} == acknowledged
        store = open_store(tmp_path)


def test_writers_who_wait_for_room_go_on_once_there_is_some(tmp_path: Path) -> None:
    store = open_store(tmp_path, storage=StorageSettings(tail_rows=3))
    with Blocked(tmp_path):
        for number in range(3):
            say(store, ANN, number, f"turn {number}")
        writer = threading.Thread(target=say, args=(store, BOB, 0, "waited"))
        writer.start()
        with pytest.raises(UNREADABLE):
            store.flush()
        assert store.stats().tail_rows == 3
    store.flush()
    writer.join()
    assert said(store, BOB) == ["waited"]
    assert from_tables(store, ANN) == ["turn 0", "turn 1", "turn 2"]


def test_one_table_that_cannot_be_written_doubles_no_other(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    with Blocked(tmp_path, "profile"):
        turn = say(store, ANN, 0, "one")
        store.apply(ANN, MemoryKind.SEMANTIC, f"turn:{turn.id}", [Add("fact", day(0), (turn.id,))])
        profile = Profile(version=0, cause="reset", event_time=day(0), recorded_at=day(0), source="s")
        store.save_profile(ANN, profile)
        for _ in range(2):
            with pytest.raises(UNREADABLE):
                store.flush()
    assert from_tables(store, ANN) == ["one"]
    stats = store.stats()
    assert [stats.rows[name] for name in ("turns", "semantic", "profile")] == [1, 1, 1]
    store = open_store(tmp_path)
    assert (said(store, ANN), len(store.memories(ANN)), store.profile(ANN).version) == (["one"], 1, 1)


def test_closing_keeps_in_the_journal_what_the_tables_do_not_take(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    with Blocked(tmp_path):
        say(store, ANN, 0, "one")
        close_stores(tmp_path)
        assert journalled(tmp_path) == ["turns"]
    assert from_tables(open_store(tmp_path), ANN) == ["one"]
