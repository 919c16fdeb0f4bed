"""One writer per shard: an epoch stored with it, and for a local folder a lock of the kernel as well.

Whoever opens a shard for writing takes the next epoch. A writer asks, after its commit and before it
acknowledges, whether the epoch is still its own. A writer that was paused, lost its epoch and committed
afterwards has acknowledged nothing of that; its rows are told by their epoch and are not read (``valid``).
"""

import fcntl
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, Self
from weakref import WeakSet

import numpy as np
from numpy.typing import NDArray

from personavlm.memory_store.errors import (
    BusyError,
    DamagedError,
    InUseError,
    LostEpochError,
)
from personavlm.memory_store.storage.local_objects import LocalObjects
from personavlm.memory_store.storage.objects import ChangedError, ExistsError, MissingError, Objects, Version

KEY = "epoch.json"
ATTEMPTS = 20  # each failed one means that another writer succeeded
_NO_LIMIT = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class _Epochs:
    """The stored object. ``begun[epoch][table]`` is the first ``seq`` that the epoch may write there."""

    epoch: int
    begun: Mapping[int, Mapping[str, int]]

    @classmethod
    def of(cls, data: bytes) -> Self:
        try:
            stored: dict[str, Any] = json.loads(data)
            begun = {int(epoch): dict(firsts) for epoch, firsts in stored["begun"].items()}
            return cls(int(stored["epoch"]), begun)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DamagedError(f"{KEY} makes no sense: {data[:100]!r}") from error

    def data(self) -> bytes:
        return json.dumps({"epoch": self.epoch, "begun": self.begun}, indent=1).encode()

    def recorded(self, firsts: Mapping[str, int]) -> Self:
        """With the firsts of the present epoch.

        Where the last epoch recorded the same first, its entry goes, since every row is judged alike without
        it: an epoch that wrote nothing leaves no trace.
        """
        begun = {epoch: dict(older) for epoch, older in self.begun.items()}
        for table, first in firsts.items():
            before = [epoch for epoch in begun if epoch < self.epoch and table in begun[epoch]]
            if before and begun[max(before)][table] == first:
                del begun[max(before)][table]
        present = {**begun.pop(self.epoch, {}), **firsts}
        kept = {epoch: older for epoch, older in begun.items() if older}
        return type(self)(self.epoch, {**kept, self.epoch: present})

    def without_before(self, epoch: int) -> Self:
        return type(self)(
            self.epoch, {number: firsts for number, firsts in self.begun.items() if number >= epoch}
        )

    def limits(self, table: str, epochs: NDArray[np.int64]) -> NDArray[np.int64]:
        """For each epoch the ``seq`` that its rows in this table must stay below, ``(n,)``."""
        recorded = sorted((epoch, firsts[table]) for epoch, firsts in self.begun.items() if table in firsts)
        numbers = np.array([epoch for epoch, _ in recorded], np.int64)
        firsts = np.array([*(first for _, first in recorded), _NO_LIMIT], np.int64)
        return firsts[np.searchsorted(numbers, epochs, side="right")]


class WriterLock:
    """A lock of the kernel on ``<folder>/writer.lock``: held until released, or until the process ends.

    A process forked from the holder does not hold it. InUseError where another writer does, be it in this
    process. Readers ``share`` it with each other: they and a writer keep each other out.
    """

    def __init__(self, folder: Path, *, share: bool = False) -> None:
        self._file = (folder / "writer.lock").open("ab")
        try:
            fcntl.flock(self._file, (fcntl.LOCK_SH if share else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._file.close()
            others = "a writer has" if share else "another writer, or who only reads it, has"
            raise InUseError(f"{others} {folder} open") from error
        _held.add(self)

    def release(self) -> None:
        """Let another writer open the folder."""
        _held.discard(self)
        self._file.close()

    def close_in_fork(self) -> None:
        """Give up a forked child's share: the lock stays, and ends with the parent."""
        self._file.close()


_held: WeakSet[WriterLock] = WeakSet()


def _close_all_in_fork() -> None:
    for lock in list(_held):
        lock.close_in_fork()


os.register_at_fork(after_in_child=_close_all_in_fork)


class Fence:
    """The right to write one shard, until another process takes the next epoch. Safe with threads."""

    def __init__(self, objects: Objects, epochs: _Epochs, lock: WriterLock | None) -> None:
        self._objects = objects
        self._epochs = epochs
        self._lock = lock
        self._process = os.getpid()
        self._recording = Lock()
        self._path = f"{objects.uri}/{KEY}"
        self._checked: tuple[int, int] | None = None

    @classmethod
    def take(cls, objects: Objects) -> Self:
        """Become the writer of the shard whose root ``objects`` is; every other writer has lost.

        InUseError where the root is a local folder that a living writer has open. BusyError where others
        were faster time and again, DamagedError for a stored epoch that makes no sense.
        """
        lock = WriterLock(objects.root) if isinstance(objects, LocalObjects) else None
        try:
            return cls(objects, _next_epoch(objects), lock)
        except BaseException:
            if lock:
                lock.release()
            raise

    @classmethod
    def share(cls, objects: Objects) -> Self:
        """Read the shard while nobody writes it; in a bucket a writer who comes is noticed by ``check``.

        MissingError where no shard is; InUseError where the root is a local folder that a writer has open.
        """
        data = objects.get(KEY)
        lock = WriterLock(objects.root, share=True) if isinstance(objects, LocalObjects) else None
        return cls(objects, _Epochs.of(data), lock)

    @property
    def epoch(self) -> int:
        """Counts the writers of the shard, from 1."""
        return self._epochs.epoch

    def record(self, first_seqs: Mapping[str, int]) -> None:
        """Store, per table, one more than the largest ``seq`` that the table holds at the takeover.

        To be called before the first write. A writer must commit the rows of a table in order of ``seq``.
        LostEpochError.
        """
        self._change(lambda epochs: epochs.recorded(first_seqs))

    def forget_before(self, epoch: int) -> None:
        """Drop what older epochs recorded. LostEpochError.

        Only once the rows that ``valid`` denies were deleted and the writers of epochs before ``epoch - 1``
        are gone: rows of theirs would be held against the firsts of ``epoch`` or later alone.
        """
        self._change(lambda epochs: epochs.without_before(epoch))

    def check(self) -> None:
        """LostEpochError when this process is no longer the writer.

        In a folder the file is read only when it is another than the one read last: every change of an
        object puts a new file in its place.
        """
        identity = self._identity()
        if identity is None or identity != self._checked:
            self._require_own(self._stored()[0])
            self._checked = identity

    def _identity(self) -> tuple[int, int] | None:
        if not isinstance(self._objects, LocalObjects) or os.getpid() != self._process:
            return None
        try:
            status = os.stat(self._path)
        except FileNotFoundError:
            return None
        return status.st_ino, status.st_mtime_ns

    def valid(self, table: str, epochs: NDArray[np.int64], seqs: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which rows of the table, given by epoch and seq ``(n,)``, were written while their epoch lasted.

        A row is, if its seq lies below the first that the next recorded epoch set for the table.
        """
        return seqs < self._epochs.limits(table, epochs)

    def release(self) -> None:
        """Let another process open the folder. To be called last; the epoch stays as it is."""
        if self._lock:
            self._lock.release()

    def _change(self, change: Callable[[_Epochs], _Epochs]) -> None:
        with self._recording:
            for _ in range(ATTEMPTS):
                stored, version = self._stored()
                self._require_own(stored)
                changed = change(stored)
                try:
                    self._objects.replace(KEY, changed.data(), version)
                except ChangedError:  # taken over, or an answer was lost on its way: look again
                    continue
                self._epochs = changed
                return
            raise BusyError(f"{KEY} of {self._objects.uri} keeps changing")

    def _stored(self) -> tuple[_Epochs, Version]:
        try:
            data, version = self._objects.get_versioned(KEY)
        except MissingError as error:
            raise LostEpochError(f"{KEY} is gone from {self._objects.uri}") from error
        return _Epochs.of(data), version

    def _require_own(self, stored: _Epochs) -> None:
        if os.getpid() != self._process:
            raise LostEpochError("a forked process does not write for the one that it came from")
        if stored.epoch != self.epoch:
            uri = self._objects.uri
            raise LostEpochError(f"{uri} is written by epoch {stored.epoch} now, this is epoch {self.epoch}")


def _next_epoch(objects: Objects) -> _Epochs:
    """Store an epoch that nobody had."""
    for _ in range(ATTEMPTS):
        try:
            data, version = objects.get_versioned(KEY)
        except MissingError:
            first = _Epochs(1, {})
            try:
                objects.create(KEY, first.data())
            except ExistsError:
                continue
            return first
        stored = _Epochs.of(data)
        taken = _Epochs(stored.epoch + 1, stored.begun)
        try:
            objects.replace(KEY, taken.data(), version)
        except ChangedError:
            continue
        return taken
    raise BusyError(f"others keep taking over {objects.uri}")
