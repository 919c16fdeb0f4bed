"""Writes that are durable but not yet in the tables: every read looks here too. Bounded."""

import time
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Sequence
from threading import Condition, Lock

from personavlm.memory_store.errors import BusyError
from personavlm.memory_store.storage.writes import Backlog, Write


class Tail:
    """Writes in order, at most ``max_rows``: who wants to add more waits ``patience_s``, then is refused."""

    def __init__(self, max_rows: int, due_rows: int, patience_s: float) -> None:
        self._max_rows, self._due_rows, self._patience_s = max_rows, due_rows, patience_s
        lock = Lock()
        # Two conditions, since waking a thread costs more than all else here: writers who found the tail
        # full wait for room, the drain waits for work.
        self._room, self._due = Condition(lock), Condition(lock)
        self._lock = lock
        self._writes: deque[tuple[float, Write]] = deque()
        self._by_user: dict[tuple[str, str], list[Write]] = defaultdict(list)
        self._rows = self._bytes = 0
        self._reserved = 0
        self._closed = False
        self.failure = ""

    def reserve(self, rows: int) -> None:
        """Wait until there is room for so many more rows, and keep it. BusyError."""
        with self._lock:
            if not self._has_room(rows) and not self._room.wait_for(
                lambda: self._has_room(rows), self._patience_s
            ):
                reason = self.failure or "the disk is slower than the writers"
                raise BusyError(f"{self._rows} rows wait to be stored ({reason}); try again later")
            self._reserved += rows

    def release(self, rows: int) -> None:
        """Give reserved room back: those rows were refused."""
        with self._lock:
            self._reserved -= rows
            self._room.notify_all()

    def _has_room(self, rows: int) -> bool:
        taken = self._rows + self._reserved
        return taken + rows <= self._max_rows or taken == 0

    def extend(self, writes: Iterable[Write], *, reserved: bool = True) -> None:
        """Take in writes, in order, into the room that was reserved for them."""
        now = time.monotonic()
        with self._lock:
            rows_before = self._rows
            for write in writes:
                self._writes.append((now, write))
                self._by_user[write.table, write.uid].append(write)
                self._rows += write.count
                self._bytes += len(write.payload)
            if reserved:
                self._reserved -= self._rows - rows_before
            if rows_before == 0 or rows_before < self._due_rows <= self._rows:
                self._due.notify_all()

    def of(self, table: str, uid: str) -> Sequence[Write]:
        """One user's writes to one table, in order."""
        with self._lock:
            return tuple(self._by_user.get((table, uid), ()))

    def all(self) -> list[Write]:
        """Everything, in order."""
        with self._lock:
            return [write for _, write in self._writes]

    def drop_through(self, seq: int) -> None:
        """Forget the writes up to this one: they are in the tables."""
        with self._lock:
            dropped: Counter[tuple[str, str]] = Counter()
            while self._writes and self._writes[0][1].seq <= seq:
                _, write = self._writes.popleft()
                dropped[write.table, write.uid] += 1
                self._rows -= write.count
                self._bytes -= len(write.payload)
            for key, count in dropped.items():
                own = self._by_user[key]
                del own[:count]
                if not own:
                    del self._by_user[key]
            self._room.notify_all()

    def backlog(self) -> Backlog:
        """How much there is."""
        with self._lock:
            age = time.monotonic() - self._writes[0][0] if self._writes else 0.0
            return Backlog(self._rows, self._bytes, age, self.failure)

    def wait_due(self, age_s: float) -> bool:
        """Wait until there are ``due_rows`` or the oldest is so old; False once the tail was closed."""
        with self._lock:
            self._due.wait_for(lambda: self._closed or self._writes)
            while not self._closed and self._writes and self._rows < self._due_rows:
                left = self._writes[0][0] + age_s - time.monotonic()
                if left <= 0:
                    break
                self._due.wait(left)
            return not self._closed

    def pause(self, seconds: float) -> None:
        """Wait so long, or until the tail is closed."""
        with self._lock:
            self._due.wait_for(lambda: self._closed, seconds)

    def close(self) -> None:
        """End all waiting of the drain."""
        with self._lock:
            self._closed = True
            self._due.notify_all()
