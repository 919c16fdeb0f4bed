"""Durability by commit: a write counts once its LanceDB commit does. For object storage.

What this promises there: an acknowledged write survives the loss of the process, of the machine and of its
disks, as far as the object store keeps what it accepted.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from threading import Lock

from personavlm.memory_store.errors import StorageError
from personavlm.memory_store.storage.fence import Fence
from personavlm.memory_store.storage.group_commit import GroupCommit
from personavlm.memory_store.storage.lance import LanceTable
from personavlm.memory_store.storage.table_repair import UNREADABLE
from personavlm.memory_store.storage.writes import Backlog, Write, table_of


class CommitWriter:
    """A ``Writer`` without a tail: whatever queued during the last commit goes into the next one."""

    def __init__(self, tables: Mapping[str, LanceTable], stored: Mapping[str, int], fence: Fence) -> None:
        self._tables, self._fence = tables, fence
        self._seq = max(stored.values(), default=0)
        self._group = GroupCommit(self._commit)
        self._committing = Lock()

    def write(self, writes: Sequence[Write]) -> None:
        """Return once LanceDB has committed them and the epoch was still ours after that."""
        self._group.submit(writes)

    def _commit(self, group: Sequence[Sequence[Write]]) -> None:
        by_table: dict[str, list[Write]] = defaultdict(list)
        for write in (write for own in group for write in own):
            self._seq += 1
            write.seq = self._seq
            by_table[write.table].append(write)
        with self._committing:
            for name, writes in by_table.items():
                table = self._tables[name]
                rows = table_of(writes, self._fence.epoch, table.schema)
                try:
                    table.add(rows)
                except UNREADABLE as error:
                    raise StorageError(f"{name} could not be committed: {error}") from error
        self._fence.check()

    def tail(self, table: str, uid: str) -> Sequence[Write]:
        """Nothing: the tables have everything."""
        return ()

    def unstored(self) -> Sequence[Write]:
        """Nothing."""
        return ()

    def backlog(self) -> Backlog:
        """Nothing."""
        return Backlog()

    def flush(self) -> None:
        """Nothing to do."""

    @contextmanager
    def settled(self) -> Iterator[None]:
        """Writes wait until the block ends."""
        with self._committing:
            yield

    def purge(self) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Nothing to let go of."""
