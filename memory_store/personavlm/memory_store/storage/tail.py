"""Writes that are durable but not yet in the tables: every read looks here too. Bounded."""

import time
from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from threading import Condition

from personavlm.memory_store.errors import BusyError
from personavlm.memory_store.storage.tables import uid_of
from personavlm.memory_store.storage.writes import Backlog, Write


class Tail:
    """Writes in order, at most ``max_rows``: who wants to add more waits ``patience_s``, then is refused."""

    def __init__(self, max_rows: int, patience_s: float) -> None:
        self._max_rows, self._patience_s = max_rows, patience_s
        self._changed = Condition()
        self._writes: deque[tuple[float, Write]] = deque()
        self._by_user: dict[tuple[str, str], deque[Write]] = defaultdict(deque)
        self._rows = self._bytes = 0
        self._reserved = 0
        self._closed = False
        self.failure = ""

    def reserve(self, rows: int) -> None:
        """Wait until there is room for so many more rows, and keep it. BusyError."""
        with self._changed:
            if not self._has_room(rows) and not self._changed.wait_for(
                lambda: self._has_room(rows), self._patience_s
            ):
                reason = self.failure or "the disk is slower than the writers"
                raise BusyError(f"{self._rows} rows wait to be stored ({reason}); try again later")
            self._reserved += rows

    def release(self, rows: int) -> None:
        """Give reserved room back: those rows were refused, or are in the tail now."""
        with self._changed:
            self._reserved -= rows
            self._changed.notify_all()

    def _has_room(self, rows: int) -> bool:
        taken = self._rows + self._reserved
        return taken + rows <= self._max_rows or taken == 0

    def extend(self, writes: Iterable[Write]) -> None:
        """Take in writes, in order."""
        now = time.monotonic()
        with self._changed:
            for write in writes:
                self._writes.append((now, write))
                self._by_user[write.table, uid_of(write.user)].append(write)
                self._rows += len(write.rows)
                self._bytes += len(write.payload)
            self._changed.notify_all()

    def of(self, table: str, uid: str) -> Sequence[Write]:
        """One user's writes to one table, in order."""
        with self._changed:
            return tuple(self._by_user.get((table, uid), ()))

    def all(self) -> list[Write]:
        """Everything, in order."""
        with self._changed:
            return [write for _, write in self._writes]

    def drop_through(self, seq: int) -> None:
        """Forget the writes up to this one: they are in the tables."""
        with self._changed:
            while self._writes and self._writes[0][1].seq <= seq:
                _, write = self._writes.popleft()
                key = write.table, uid_of(write.user)
                own = self._by_user[key]
                own.popleft()
                if not own:
                    del self._by_user[key]
                self._rows -= len(write.rows)
                self._bytes -= len(write.payload)
            self._changed.notify_all()

    def backlog(self) -> Backlog:
        """How much there is."""
        with self._changed:
            age = time.monotonic() - self._writes[0][0] if self._writes else 0.0
            return Backlog(self._rows, self._bytes, age, self.failure)

    def wait_due(self, rows: int, age_s: float) -> bool:
        """Wait until there are so many rows or the oldest is so old; False once the tail was closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._writes)
            while not self._closed and self._writes and self._rows < rows:
                left = self._writes[0][0] + age_s - time.monotonic()
                if left <= 0:
                    break
                self._changed.wait(left)
            return not self._closed

    def pause(self, seconds: float) -> None:
        """Wait so long, or until the tail is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed, seconds)

    def close(self) -> None:
        """End all waiting."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
