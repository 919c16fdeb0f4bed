"""Imports that break halfway are undone, at once or at the next opening; users move between shards."""

import io
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from personavlm.memory_store import InvalidError, MemoryStore, MovedError, TurnDraft, UserKey
from personavlm.memory_store.lifecycle.archive_reader import UserArchive
from personavlm.memory_store.storage.layout import bucket_of
from tests.unit.memory_store.archives import everything, exported, imported, live_a_little
from tests.unit.memory_store.encoders import WordEncoder, close_stores, open_store

ROOT = Path(__file__).parents[3]
ADA, BOB, NEIGHBOUR = UserKey("acme", "ada"), UserKey("acme", "bob"), UserKey("acme", "neighbour")

# Imports the archive; is gone after reading from it so many times, as if killed there.
IMPORTS = """
import io, os, sys
from pathlib import Path
from personavlm.memory_store import UserKey
from tests.unit.memory_store.encoders import open_store

class DeadlyFile(io.BytesIO):
    left = int(sys.argv[3])

    def read(self, *args):
        DeadlyFile.left -= 1
        if not DeadlyFile.left:
            os._exit(9)
        return super().read(*args)

store = open_store(Path(sys.argv[1]))
print("opened", flush=True)
file = DeadlyFile(Path(sys.argv[2]).read_bytes())
store.transfer.import_user(UserKey("acme", "bob"), file, replace=True)
print("done", flush=True)
"""


class FailingFile(io.BytesIO):
    """A file on a disk that fails after so many reads."""

    def __init__(self, data: bytes, left: int) -> None:
        super().__init__(data)
        self.left = left

    def read(self, size: int | None = -1, /) -> bytes:
        self.left -= 1
        if not self.left:
            raise OSError("the disk failed")
        return super().read(size)


def reads_of(archive: bytes, store: MemoryStore) -> tuple[int, int]:
    """How often an archive is read to check it, and in all."""
    file = FailingFile(archive, -1)
    UserArchive(file).check({})
    checked = -1 - file.left
    file = FailingFile(archive, -1)
    store.transfer.import_user(UserKey("x", "counts"), file)
    return checked, -1 - file.left


@contextmanager
def importing(folder: Path, archive: Path, reads: int = 0) -> Iterator[subprocess.Popen[str]]:
    """A process that imports, from when it has opened the store."""
    environment = {"PYTHONPATH": ":".join(str(ROOT / name) for name in ("memory_store", "."))}
    command = [sys.executable, "-c", IMPORTS, str(folder), str(archive), str(reads)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout and process.stdout.readline() == "opened\n"
        yield process


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    store = open_store(tmp_path / "from")
    live_a_little(store, ADA)
    path = tmp_path / "ada.zip"
    path.write_bytes(exported(store, ADA))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A store with a neighbour, and one whose data is to be replaced."""
    store = open_store(tmp_path / "to")
    live_a_little(store, NEIGHBOUR)
    image = store.put_image(BOB, b"what was there", "image/png", 1, 1)
    store.append_turn(BOB, TurnDraft("what was there", "noted", images=(image,)))
    close_stores()
    return tmp_path / "to"


def test_a_crash_while_it_writes_is_undone(tmp_path: Path, archive: Path, folder: Path) -> None:
    checked, every = reads_of(archive.read_bytes(), open_store(tmp_path / "from"))
    store = open_store(folder)
    before, neighbour = everything(store, BOB), everything(store, NEIGHBOUR)
    for reads in range(checked + 1, every + 1, max((every - checked) // 3, 1)):
        close_stores()
        with importing(folder, archive, reads) as process:
            assert process.wait() == 9
        assert list((folder / "erasures").glob("*"))
        store = open_store(folder)
        assert not list((folder / "erasures").glob("*"))
        assert everything(store, BOB) == before
        assert everything(store, NEIGHBOUR) == neighbour
    assert store.users() == (BOB, NEIGHBOUR)


def test_a_kill_leaves_the_old_or_the_new(tmp_path: Path, archive: Path, folder: Path) -> None:
    wanted, before = everything(open_store(tmp_path / "from"), ADA), everything(open_store(folder), BOB)
    delays = [0.0, 0.1, 0.2, 0.4, 0.8]  # wait for nothing: they pick the point of the kill
    found = before
    for delay in delays:
        close_stores()
        with importing(folder, archive) as process:
            time.sleep(delay)
            process.kill()
        store = open_store(folder)
        assert not list((folder / "erasures").glob("*"))
        found = everything(store, BOB)
        assert found in (before, wanted)
        if found == wanted:
            break
    imported(store, BOB, archive.read_bytes(), replace=True)
    assert everything(store, BOB) == wanted


def test_a_failure_is_undone_at_once(archive: Path, folder: Path) -> None:
    data = archive.read_bytes()
    nobody = UserKey("acme", "nobody")
    store = open_store(folder)
    checked, every = reads_of(data, store)
    store.eraser.erase_user(UserKey("x", "counts"))
    before = everything(store, BOB)
    for reads in range(1, every + 1, max((every - 1) // 6, 1)):
        with pytest.raises((OSError, InvalidError), match=r"failed|no ZIP"):
            store.transfer.import_user(nobody, FailingFile(data, reads))
    for reads in (1, checked + 1, every):
        with pytest.raises((OSError, InvalidError), match=r"failed|no ZIP"):
            store.transfer.import_user(BOB, FailingFile(data, reads), replace=True)
    assert everything(store, BOB) == before
    assert store.users() == (BOB, NEIGHBOUR)
    assert not list((folder / "erasures").glob("*"))
    assert store.append_turn(BOB, TurnDraft("and on", "it goes")).index == 1


def test_users_move_while_nobody_serves_them(tmp_path: Path) -> None:
    away: set[UserKey] = set()

    def at_home(user: UserKey) -> None:
        if user in away:
            raise MovedError("moved")

    users = [UserKey("acme", f"user {number}") for number in range(3)]
    old = open_store(tmp_path / "old", at_home=at_home)
    for user in users:
        live_a_little(old, user)
        old.index(user)
    before = {user: everything(old, user) for user in users}
    moved, stays = users[:2], users[2]
    away |= set(moved)
    buckets = {bucket_of(user) for user in moved}
    assert stays not in old.transfer.users_in(buckets)
    assert set(old.transfer.users_in(buckets)) == set(moved)
    encoder = WordEncoder()
    new = open_store(tmp_path / "new", encoder, at_home=at_home)
    for user in moved:
        with pytest.raises(MovedError):
            old.transfer.import_user(user, io.BytesIO(exported(old, stays)))
        for _ in range(2):  # the second time as after a crash of the mover
            new.transfer.take_in(user, old.transfer.take_out(user))
    receipts = len(list((tmp_path / "old" / "receipts").glob("*")))
    old.transfer.let_go(buckets)
    old.transfer.let_go(buckets)
    assert len(list((tmp_path / "old" / "receipts").glob("*"))) == receipts + 1
    away.clear()
    assert old.users() == (stays,) and new.users() == tuple(moved)
    assert everything(old, stays) == before[stays]
    for user in moved:
        new.index(user)
    assert not encoder.encoded
    assert all(everything(new, user) == before[user] for user in moved)
    old.flush()
    files = [path for path in (tmp_path / "old").rglob("*") if path.is_file()]
    assert not any(user.user.encode() in path.read_bytes() for user in moved for path in files)
