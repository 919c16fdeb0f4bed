"""Backups of a store that writes, compacts and erases meanwhile: each is whole and up to date."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event

import pytest

from personavlm.memory_store import Add, BusyError, MemoryKind, MemoryStore, TurnDraft, UserKey
from personavlm.memory_store.lifecycle.backup import Backups, restore
from personavlm.memory_store.storage.local_objects import LocalObjects
from personavlm.memory_store.storage.settings import Durability, StorageSettings
from personavlm.memory_store.times import utc_now
from tests.unit.memory_store.encoders import close_stores, open_store

WRITERS = [UserKey("tenant", f"writer {number}") for number in range(3)]
PASSING = UserKey("tenant", "passing")
BACKUPS = 2


class Life:
    """Writers who go on until told to stop, and what was acknowledged to each."""

    def __init__(self, store: MemoryStore) -> None:
        self.store, self.stopped = store, Event()
        self.acknowledged = dict.fromkeys(WRITERS, 0)

    def write(self, user: UserKey) -> None:
        while not self.stopped.is_set():
            number = self.acknowledged[user]
            image = self.store.put_image(user, f"image {number}".encode(), "image/png", 1, 1)
            turn = self.store.append_turn(user, TurnDraft(f"turn {number}", "ok", images=(image,)))
            adds = [Add(f"fact {number} {part}", turn.event_time, (turn.id,)) for part in "ab"]
            self.store.apply(user, MemoryKind.SEMANTIC, f"turn:{turn.id}", adds)
            self.acknowledged[user] = number + 1

    def maintain(self) -> None:
        while not self.stopped.is_set():
            self.store.flush()
            for table in self.store._shard.tables.values():
                table.rewrite()

    def erase(self) -> None:
        while not self.stopped.is_set():
            try:
                self.store.append_turn(
                    PASSING, TurnDraft("I am passing through, and leave nothing behind", "ok")
                )
                self.store.eraser.erase_user(PASSING)
            except BusyError:
                continue

    @contextmanager
    def going_on(self) -> Iterator[None]:
        with ThreadPoolExecutor() as threads:
            works = [threads.submit(self.write, user) for user in WRITERS]
            works += [threads.submit(self.maintain), threads.submit(self.erase)]
            try:
                yield
            finally:
                self.stopped.set()
            for work in works:
                work.result()


def require_whole(store: MemoryStore, acknowledged: dict[UserKey, int]) -> None:
    """All that was acknowledged, and after that no turn without those before it."""
    for user, count in acknowledged.items():
        turns = store.turns(user)
        assert len(turns) >= count
        assert [turn.user_text for turn in turns] == [f"turn {number}" for number in range(len(turns))]
        for number, turn in enumerate(turns):
            assert store.image(user, turn.images[0].sha256) == f"image {number}".encode()
        facts = {memory.text for memory in store.memories(user, MemoryKind.SEMANTIC)}
        count = len(facts) // 2
        assert facts == {f"fact {number} {part}" for number in range(count) for part in "ab"}
        # A memory is written after its turn: it is never there without it.
        assert len(turns) - 1 <= count <= len(turns) and count >= acknowledged[user]


@pytest.mark.parametrize("durability", ["journal", "commit"])
def test_every_backup_is_whole(tmp_path: Path, durability: Durability) -> None:
    settings = StorageSettings(durability=durability)
    store = open_store(tmp_path / "store", storage=settings)
    life = Life(store)
    acknowledged = []
    with life.going_on():
        for number in range(BACKUPS):
            seen = dict(life.acknowledged)
            while life.acknowledged == seen:
                time.sleep(0.01)
            acknowledged.append(dict(life.acknowledged))
            Backups(store._shard, utc_now).backup(LocalObjects(tmp_path / f"backup {number}"))
    close_stores()
    for number in range(BACKUPS):
        place = tmp_path / f"restored {number}"
        restore(LocalObjects(tmp_path / f"backup {number}"), LocalObjects(place))
        restored = open_store(place, storage=settings)
        require_whole(restored, acknowledged[number])
        assert len(restored.turns(PASSING)) <= 1
        close_stores()
    require_whole(open_store(tmp_path / "store", storage=settings), life.acknowledged)
