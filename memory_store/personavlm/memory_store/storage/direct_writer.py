"""Stand-in until the journal is wired in."""

from collections.abc import Mapping, Sequence
from threading import Lock

from personavlm.memory_store.storage.lance import LanceTable
from personavlm.memory_store.storage.tables import arrow_table
from personavlm.memory_store.storage.writes import Backlog, Write


class DirectWriter:
    def __init__(self, tables: Mapping[str, LanceTable]) -> None:
        self._tables, self._lock = tables, Lock()
        self._seq = max((table.last_seq() for table in tables.values()), default=0)

    def write(self, write: Write) -> None:
        with self._lock:
            self._seq += 1
            write.place(0, self._seq)
            table = self._tables[write.table]
            table.add(arrow_table(write.rows, table.schema))

    def tail(self, table: str, uid: str) -> Sequence[Write]:
        return ()

    def backlog(self) -> Backlog:
        return Backlog()

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass
