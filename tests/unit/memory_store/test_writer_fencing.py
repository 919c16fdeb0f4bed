"""One writer per shard: a second is refused; one that lost its epoch acknowledges and ruins nothing."""

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from personavlm.memory_store import (
    InUseError,
    LostEpochError,
    MemoryStore,
    TurnDraft,
    UserKey,
)
from personavlm.memory_store.storage.fence import Fence
from personavlm.memory_store.storage.lance import LanceTable, connect
from personavlm.memory_store.storage.local_objects import LocalObjects
from personavlm.memory_store.storage.objects import open_objects
from personavlm.memory_store.storage.settings import StorageSettings
from personavlm.memory_store.storage.sql import quoted
from personavlm.memory_store.storage.tables import RECORDS, arrow_table, owner_columns, uid_of
from tests.unit.memory_store.bucket_server import BucketServer, bucket_server
from tests.unit.memory_store.encoders import ByteEncoder, WordEncoder, close_stores, open_store
from tests.unit.memory_store.marked_life import Life, everything, live
from tests.unit.memory_store.steps import say

ANN, BOB = UserKey("t", "ann"), UserKey("t", "bob")
ROOT = Path(__file__).parents[3]

HOLDER = """
import sys
from pathlib import Path
from personavlm.memory_store import TurnDraft, UserKey
from tests.unit.memory_store.encoders import open_store

store = open_store(Path(sys.argv[1]))
store.append_turn(UserKey("t", "ann"), TurnDraft("of the holder", "ok"))
print("open", flush=True)
sys.stdin.read()
store.close()
"""


@pytest.fixture(scope="module")
def server() -> Iterator[BucketServer]:
    with bucket_server() as server:
        yield server


def open_bucket(server: BucketServer, uri: str) -> MemoryStore:
    settings = StorageSettings("commit", options=server.options)
    return MemoryStore.open(uri, text_encoder=WordEncoder(), image_encoder=ByteEncoder(), storage=settings)


def said(store: MemoryStore, user: UserKey) -> list[str]:
    store.evict()
    return [turn.user_text for turn in store.turns(user)]


@pytest.mark.parametrize("durability", ["journal", "commit"])
def test_a_second_process_is_refused_at_once(tmp_path: Path, durability: str) -> None:
    storage = StorageSettings(durability)  # type: ignore[arg-type]  # one of its two literals
    path = ":".join(str(ROOT / name) for name in ("memory_store", "."))
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdin=pipe, stdout=pipe, env={"PYTHONPATH": path}
    ) as holder:
        assert holder.stdout and holder.stdin and holder.stdout.readline() == b"open\n"
        for _ in range(2):
            with pytest.raises(InUseError, match=str(tmp_path)):
                open_store(tmp_path, storage=storage)
        holder.stdin.close()
        assert holder.wait() == 0
    store = open_store(tmp_path, storage=storage)
    assert said(store, ANN) == ["of the holder"]


def test_of_many_who_open_a_folder_one_does(tmp_path: Path) -> None:
    def try_to_open(_: int) -> MemoryStore | None:
        with suppress(InUseError):
            return MemoryStore.open(tmp_path, text_encoder=WordEncoder(), image_encoder=ByteEncoder())
        return None

    with ThreadPoolExecutor(6) as pool:
        stores = [store for store in pool.map(try_to_open, range(6)) if store]
    assert len(stores) == 1
    say(stores[0], ANN, 0, "one")
    stores[0].close()
    assert said(open_store(tmp_path), ANN) == ["one"]


@pytest.mark.parametrize("durability", ["journal", "commit"])
def test_a_folder_whose_epoch_was_taken_acknowledges_nothing(tmp_path: Path, durability: str) -> None:
    """As on a network file system that forgot the lock of a writer which was paused."""
    store = open_store(tmp_path, storage=StorageSettings(durability))  # type: ignore[arg-type]  # as above
    say(store, ANN, 0, "acknowledged")
    (tmp_path / "writer.lock").unlink()
    thief = Fence.take(LocalObjects(tmp_path))
    for _ in range(2):
        with pytest.raises(LostEpochError):
            store.append_turn(ANN, TurnDraft("too late", "ok", client_id="1"))
    with pytest.raises(LostEpochError):
        store.maintain()
    with pytest.raises(LostEpochError):
        store.eraser.erase_user(ANN)
    close_stores(tmp_path)
    thief.release()


def test_a_paused_writer_of_a_bucket_acknowledges_nothing_and_its_rows_are_not_read(
    server: BucketServer,
) -> None:
    uri = server.new_uri()
    first = open_bucket(server, uri)
    say(first, ANN, 0, "first")
    second = open_bucket(server, uri)
    for _ in range(2):  # sent again, it finds its row, and must not take that for stored
        with pytest.raises(LostEpochError):
            first.append_turn(ANN, TurnDraft("too late", "ok", client_id="1"))
    assert said(second, ANN) == ["first"]
    say(second, ANN, 9_000, "second")
    with pytest.raises(LostEpochError):
        first.append_turn(BOB, TurnDraft("too late", "ok"))
    third = open_bucket(server, uri)
    with pytest.raises(LostEpochError):
        second.append_turn(BOB, TurnDraft("too late", "ok"))
    with pytest.raises(LostEpochError):  # it might answer with rows of its own that came too late
        said(second, ANN)
    assert (said(third, ANN), said(third, BOB)) == (["first", "second"], [])
    assert say(third, BOB, 0, "third").index == 0
    for store in (first, second, third):
        store.close()
    last = open_bucket(server, uri)
    assert (said(last, ANN), said(last, BOB)) == (["first", "second"], ["third"])
    last.close()


def test_a_paused_writer_of_a_bucket_neither_compacts_nor_erases(server: BucketServer) -> None:
    uri = server.new_uri()
    first = open_bucket(server, uri)
    say(first, BOB, 0, "of bob")
    second = open_bucket(server, uri)
    say(second, ANN, 0, "of ann")
    with pytest.raises(LostEpochError):
        first.maintain()
    with pytest.raises(LostEpochError):
        first.eraser.erase_user(BOB)
    assert (said(second, ANN), said(second, BOB)) == (["of ann"], ["of bob"])
    for store in (first, second):
        store.close()


def test_who_rewrites_a_table_in_a_bucket_keeps_what_another_writer_committed(server: BucketServer) -> None:
    """As one does that was paused after it had looked at its epoch."""
    uri = server.new_uri()
    schema = RECORDS["progress"]
    paused = LanceTable.open(connect(uri, server.options), "progress", schema, None)
    paused.add(arrow_table([owner_columns(user) | {"seq": 1} for user in (ANN, BOB)], schema))
    writer = LanceTable.open(connect(uri, server.options), "progress", schema, None)
    for number in range(2, 5):
        writer.add(arrow_table([owner_columns(BOB) | {"seq": number}], schema))
    assert paused.rewrite(without=f"uid = {quoted(uid_of(ANN))}") == 1
    paused.forget_versions()
    writer.add(arrow_table([owner_columns(BOB) | {"seq": 5}], schema))
    paused.compact()
    last = LanceTable.open(connect(uri, server.options), "progress", schema, None)
    assert last.read(uid_of(ANN)).num_rows == 0
    assert sorted(last.read(uid_of(BOB))["seq"].to_pylist()) == [1, 2, 3, 4, 5]


def test_what_is_erased_is_in_no_object_of_a_bucket(server: BucketServer) -> None:
    uri = server.new_uri()
    store, objects = open_bucket(server, uri), open_objects(uri, server.options)
    ann, bob = live(store, ANN), live(store, BOB)

    def found(life: Life) -> set[str]:
        data = b"".join(objects.get(key) for key, _ in objects.list(""))
        return {mark for mark in life.marks.made.values() if mark.encode() in data}

    assert found(ann) == set(ann.marks.made.values())
    before = everything(store, bob)
    store.eraser.erase_user(ANN)
    store.evict()
    assert found(ann) == set() and found(bob) == set(bob.marks.made.values())
    assert (store.turns(ANN), everything(store, bob)) == ((), before)
    store.close()
