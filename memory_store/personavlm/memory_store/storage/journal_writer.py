"""Durability by journal: a write counts once SQLite has it on the disk; the tables get it in batches.

What this promises on a local disk: an acknowledged write survives the loss of the process and of power.
It does not survive the loss of the disk.
"""

import logging
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from threading import Lock, Thread

from personavlm.memory_store.errors import StorageError
from personavlm.memory_store.storage.fence import Fence
from personavlm.memory_store.storage.group_commit import GroupCommit
from personavlm.memory_store.storage.journal import Entry, Journal
from personavlm.memory_store.storage.lance import LanceTable
from personavlm.memory_store.storage.table_repair import UNREADABLE
from personavlm.memory_store.storage.tail import Tail
from personavlm.memory_store.storage.writes import Backlog, Write, table_of

logger = logging.getLogger(__name__)

DRAIN_ROWS = 8_000
DRAIN_AFTER_S = 1.0
TAIL_ROWS = 50_000
PATIENCE_S = 10.0
FIRST_RETRY_S, LAST_RETRY_S = 0.5, 30.0


class JournalWriter:
    """A ``Writer``. A thread of its own moves the tail into the tables."""

    def __init__(
        self,
        journal: Journal,
        tables: Mapping[str, LanceTable],
        stored: Mapping[str, int],
        fence: Fence,
        tail_rows: int = TAIL_ROWS,
    ) -> None:
        self._journal = journal
        self._tables, self._fence = tables, fence
        self._tail = Tail(tail_rows, min(DRAIN_ROWS, tail_rows), PATIENCE_S)
        self._group = GroupCommit(self._commit)
        self._draining = Lock()
        self._stored = dict(stored)
        self._seq = max(stored.values(), default=0)
        self._replay()
        self._thread = Thread(target=self._run, name="drain", daemon=True)
        self._thread.start()

    def _replay(self) -> None:
        """Take up what an earlier process acknowledged and did not drop from the journal.

        What the tables have of it already is taken up too: the next flush then drops it. An entry that
        stayed would come back to life once an erasure has taken its row, and the last ``seq``, away.
        """
        for entry in self._journal.entries():
            self._seq = max(self._seq, entry.seq)
            write = Write.again(entry.table, entry.uid, entry.payload, entry.seq)
            self._tail.extend([write], reserved=False)

    def write(self, writes: Sequence[Write]) -> None:
        """Return once the journal has them on the disk; at once for derived data."""
        rows = sum(write.count for write in writes)
        self._tail.reserve(rows)
        try:
            self._group.submit(writes)
        except BaseException:
            self._tail.release(rows)
            raise

    def _commit(self, group: Sequence[Sequence[Write]]) -> None:
        writes = [write for own in group for write in own]
        entries = []
        for write in writes:
            self._seq += 1
            write.seq = self._seq
            if write.payload:
                entries.append(Entry(write.seq, write.table, write.uid, write.payload))
        if entries:
            self._journal.append(entries)
            self._fence.check()
        self._tail.extend(writes)

    def tail(self, table: str, uid: str) -> Sequence[Write]:
        """This user's writes that may not be in the table yet."""
        return self._tail.of(table, uid)

    def unstored(self) -> Sequence[Write]:
        """All of the tail, in order."""
        return self._tail.all()

    def backlog(self) -> Backlog:
        """How much is not in the tables yet."""
        return self._tail.backlog()

    def flush(self) -> None:
        """Move the tail into the tables now. What LanceDB raises."""
        with self.settled():
            pass

    @contextmanager
    def settled(self) -> Iterator[None]:
        """Flush, and keep what comes meanwhile in the tail until the block ends."""
        with self._draining:
            self._drain()
            yield

    def _drain(self) -> None:
        writes = self._tail.all()
        if not writes:
            return
        by_table: dict[str, list[Write]] = defaultdict(list)
        for write in writes:
            if write.seq > self._stored[write.table]:
                by_table[write.table].append(write)
        for name, own in by_table.items():
            self._add(name, own)
            self._stored[name] = own[-1].seq
        last = writes[-1].seq
        self._journal.drop_through(last)
        self._tail.drop_through(last)

    def purge(self) -> None:
        """Leave no byte of what was flushed in the journal's files."""
        self._journal.purge()

    def _add(self, name: str, writes: Sequence[Write]) -> None:
        table = self._tables[name]
        try:
            table.add(table_of(writes, self._fence.epoch, table.schema))
        except UNREADABLE:
            self._stored[name] = table.last_seq()  # whether it took effect, only the table knows
            raise

    def _run(self) -> None:
        delay = FIRST_RETRY_S
        while self._tail.wait_due(DRAIN_AFTER_S):
            try:
                self.flush()
            except (*UNREADABLE, StorageError) as error:
                logger.error("the journal cannot be moved into the tables, trying again: %s", error)
                self._tail.failure = str(error)
                self._tail.pause(delay)
                delay = min(2 * delay, LAST_RETRY_S)
            else:
                self._tail.failure, delay = "", FIRST_RETRY_S

    def close(self) -> None:
        """Move what is left into the tables; what cannot be moved stays in the journal."""
        self._tail.close()
        self._thread.join()
        try:
            self.flush()
        except (*UNREADABLE, StorageError) as error:
            logger.error("the journal could not be moved into the tables: %s", error)
        self._journal.close()
