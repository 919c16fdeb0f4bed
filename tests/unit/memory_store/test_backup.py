"""A backup is what was acknowledged before, whole and verified; what was erased since stays erased."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from personavlm.memory_store import BusyError, DamagedError, InvalidError, MemoryStore, TurnDraft, UserKey
from personavlm.memory_store.lifecycle.backup import (
    MANIFEST,
    Backups,
    erasures_done,
    finish_store_backup,
    restore,
    restore_store,
)
from personavlm.memory_store.queries import Window
from personavlm.memory_store.storage.layout import Layout, LayoutFile
from personavlm.memory_store.storage.local_objects import LocalObjects
from personavlm.memory_store.storage.objects import Objects
from personavlm.memory_store.storage.settings import StorageSettings
from personavlm.memory_store.times import utc_now
from tests.unit.memory_store.archives import everything, live_a_little
from tests.unit.memory_store.bucket_server import bucket_server
from tests.unit.memory_store.encoders import WordEncoder, close_stores, open_store
from tests.unit.memory_store.sealed_rows import new_sealer
from tests.unit.memory_store.steps import day

ADA, BOB, CYD = (UserKey("acme", name) for name in ("ada", "bob", "cyd"))


@pytest.fixture
def store(tmp_path: Path) -> MemoryStore:
    store = open_store(tmp_path / "store")
    for user in (ADA, BOB):
        live_a_little(store, user)
    return store


@pytest.fixture
def target(tmp_path: Path) -> LocalObjects:
    return LocalObjects(tmp_path / "backup")


@pytest.fixture
def empty(tmp_path: Path) -> LocalObjects:
    return LocalObjects(tmp_path / "restored")


def test_what_was_acknowledged_is_in_it(
    store: MemoryStore, target: LocalObjects, empty: LocalObjects
) -> None:
    store.maintain()
    store.append_turn(ADA, TurnDraft("the last words before", "noted"))
    store.index(ADA)
    before = [everything(store, user) for user in (ADA, BOB)]
    taken = Backups(store._shard, utc_now).backup(target)
    store.append_turn(ADA, TurnDraft("after", "noted"))
    store.append_turn(CYD, TurnDraft("after", "noted"))
    assert taken == restore(target, empty)
    encoder = WordEncoder()
    restored = open_store(empty.root, encoder)
    assert [everything(restored, user) for user in (ADA, BOB)] == before
    assert restored.users() == (ADA, BOB)
    restored.index(ADA)
    assert not any("last words" in text for text in encoder.encoded)
    # It is a store like any other.
    restored.append_turn(BOB, TurnDraft("and so on", "yes"))
    restored.maintain()
    restored.eraser.erase_user(ADA)
    again = open_store(empty.root)
    assert again.users() == (BOB,) and again.turns(BOB)[-1].user_text == "and so on"


def test_the_restored_store_is_the_next_epoch(
    store: MemoryStore, target: LocalObjects, empty: LocalObjects
) -> None:
    Backups(store._shard, utc_now).backup(target)
    restore(target, empty)
    assert open_store(empty.root)._shard._fence.epoch == store._shard._fence.epoch + 1


def test_only_into_an_empty_place(store: MemoryStore, target: LocalObjects, empty: LocalObjects) -> None:
    empty.put("a/letter", b"mine")
    with pytest.raises(InvalidError, match="a/letter"):
        Backups(store._shard, utc_now).backup(empty)
    Backups(store._shard, utc_now).backup(target)
    with pytest.raises(InvalidError, match="a/letter"):
        restore(target, empty)
    with pytest.raises(InvalidError, match="not empty"):
        Backups(store._shard, utc_now).backup(target)
    assert [key for key, _ in empty.list("")] == ["a/letter"]


def test_what_is_no_whole_backup_is_refused(store: MemoryStore, target: LocalObjects, tmp_path: Path) -> None:
    taken = Backups(store._shard, utc_now).backup(target)
    manifest = target.get(MANIFEST)
    data = max(taken.files, key=lambda key: taken.files[key].bytes)
    content = target.get(data)
    target.delete(MANIFEST)
    with pytest.raises(DamagedError, match="none written to its end"):
        restore(target, LocalObjects(tmp_path / "1"))
    target.put(MANIFEST, manifest[:-10])
    with pytest.raises(DamagedError, match="not the list of a backup"):
        restore(target, LocalObjects(tmp_path / "2"))
    target.put(MANIFEST, manifest)
    for spoiled in (content[:-1], content[:-1] + bytes([content[-1] ^ 1]), None):
        target.delete(data)
        if spoiled is not None:
            target.put(data, spoiled)
        place = LocalObjects(tmp_path / f"spoiled {spoiled is None} {len(spoiled or b'')}")
        with pytest.raises(DamagedError, match=r"gone|not what was copied"):
            restore(target, place)
        with pytest.raises(DamagedError, match="was not finished"):
            open_store(place.root)


def test_what_was_erased_since_is_erased_again(
    store: MemoryStore, target: LocalObjects, empty: LocalObjects
) -> None:
    live_a_little(store, CYD)
    secret = "a secret that must not come back with the backup"
    store.append_turn(BOB, TurnDraft(secret, "hm", event_time=day(50)))
    store.eraser.erase_user(CYD)
    live_a_little(store, CYD)  # came back after the erasure
    before = everything(store, CYD)
    Backups(store._shard, utc_now).backup(target)
    memory = store.memories(BOB)[0]
    store.eraser.erase_user(ADA)
    store.eraser.erase_memory(BOB, memory.id)
    store.eraser.erase_range(BOB, Window(day(49), day(51)))
    wanted = everything(store, BOB)
    restore(target, empty, erased=erasures_done(store._shard.objects))
    restored = open_store(empty.root)
    assert restored.users() == (BOB, CYD)
    assert everything(restored, BOB) == wanted
    assert everything(restored, CYD) == before
    close_stores()
    files = [path.read_bytes() for path in empty.root.rglob("*") if path.is_file()]
    assert not any(secret.encode() in data for data in files)


def test_an_encrypted_store_needs_its_keys(tmp_path: Path, target: LocalObjects, empty: LocalObjects) -> None:
    with new_sealer() as sealer:
        settings = StorageSettings(protection=sealer)
        store = open_store(tmp_path / "store", storage=settings)
        live_a_little(store, ADA)
        before = everything(store, ADA)
        Backups(store._shard, utc_now).backup(target)
        restore(target, empty)
        assert everything(open_store(empty.root, storage=settings), ADA) == before
        close_stores()
    assert not any(b"Fang Wei" in path.read_bytes() for path in target.root.rglob("*") if path.is_file())


def test_in_and_out_of_a_bucket(store: MemoryStore, empty: LocalObjects) -> None:
    before = everything(store, ADA)
    with bucket_server() as server:
        bucket = server.new_objects()
        Backups(store._shard, utc_now).backup(bucket, "shard-0")
        folder = LocalObjects(empty.root / "shard-0")
        restore(bucket, LocalObjects(empty.root), "shard-0")
        assert everything(open_store(folder.root), ADA) == before


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Objects]:
    """A store of two shards with their map."""
    root = LocalObjects(tmp_path / "store")
    LayoutFile(root).load(2)
    for number, user in enumerate((ADA, BOB)):
        live_a_little(open_store(tmp_path / "store" / f"shard-{number}"), user)
    yield root


def test_a_whole_store(root: LocalObjects, target: LocalObjects, empty: LocalObjects) -> None:
    before, now = LayoutFile(root).load(2), datetime(2026, 1, 1, tzinfo=UTC)
    wanted = []
    for number, user in enumerate((ADA, BOB)):
        store = open_store(root.root / f"shard-{number}")
        wanted.append(everything(store, user))
        Backups(store._shard, utc_now).backup(target, f"shard-{number}")
        store.eraser.erase_user(BOB)
    with pytest.raises(DamagedError, match="none written to its end"):
        restore_store(target, empty)
    finish_store_backup(root, target, ["shard-0", "shard-1"], before, now)
    restore_store(target, empty)
    assert LayoutFile(empty).load(7) == before
    assert everything(open_store(empty.root / "shard-0"), ADA) == wanted[0]
    assert everything(open_store(empty.root / "shard-1"), BOB) == wanted[1]
    without = LocalObjects(empty.root.parent / "without")
    erased = erasures_done(LocalObjects(root.root / "shard-1"))
    restore_store(target, without, erased)
    assert not open_store(without.root / "shard-1").users()


def test_no_backup_of_a_store_on_the_move(root: LocalObjects, target: LocalObjects) -> None:
    before, now = LayoutFile(root).load(2), datetime(2026, 1, 1, tzinfo=UTC)
    moving = before.begin_moves({3: 0})
    LayoutFile(root).replace(before, moving)
    for layout in (before, moving):
        with pytest.raises(BusyError, match="moved"):
            finish_store_backup(root, target, [], layout, now)
    assert isinstance(before, Layout)


def test_a_restore_of_a_store_that_broke_off_cannot_be_opened(
    root: LocalObjects, target: LocalObjects, empty: LocalObjects
) -> None:
    before, now = LayoutFile(root).load(2), datetime(2026, 1, 1, tzinfo=UTC)
    for number in range(2):
        store = open_store(root.root / f"shard-{number}")
        taken = Backups(store._shard, utc_now).backup(target, f"shard-{number}")
    finish_store_backup(root, target, ["shard-0", "shard-1"], before, now)
    target.delete(f"shard-0/{next(iter(taken.files))}")
    with pytest.raises(DamagedError, match="gone"):
        restore_store(target, empty)
    for number in range(2):
        with pytest.raises(DamagedError, match="was not finished"):
            open_store(empty.root / f"shard-{number}")
