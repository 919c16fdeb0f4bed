"""The journal: acknowledged writes that are not in the tables yet, in one SQLite file.

WAL mode with ``synchronous=FULL``: a transaction is on the disk when it returns, and of a torn tail
everything up to the last whole transaction is read. One connection does all the work, checkpoints
included: two that raced could lose the log in SQLite before 3.51.3. It keeps the file to itself.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Self

from personavlm.memory_store.errors import DamagedError, InUseError, StorageError

LOG_BYTES = 4 << 20
"""Size of the log from which it is emptied once its entries are in the tables."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS entries (seq INTEGER PRIMARY KEY, "table" TEXT, uid TEXT, payload BLOB) STRICT
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """One write: ``seq`` is its place among the shard's writes."""

    seq: int
    table: str
    uid: str
    payload: bytes


class Journal:
    """Safe with threads: calls take turns."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection, self._path = connection, path
        self._log = path.with_name(path.name + "-wal")
        self._lock = Lock()

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open or create the journal; of a torn tail, what was whole is kept.

        InUseError where another process has it open, DamagedError where it is no journal any more.
        """
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=0)
        try:
            connection.execute("PRAGMA locking_mode=EXCLUSIVE")
            connection.execute("PRAGMA secure_delete=ON")  # what is dropped leaves no bytes in the file
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute(f"PRAGMA journal_size_limit={LOG_BYTES}")
            connection.execute(_SCHEMA)
            connection.execute('SELECT seq, "table", uid, payload FROM entries LIMIT 1').fetchall()
        except sqlite3.Error as error:
            connection.close()
            if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY:
                raise InUseError(f"another process has {path} open") from error
            raise DamagedError(f"{path} cannot be read: {error}; it may hold acknowledged writes") from error
        return cls(connection, path)

    def append(self, entries: Sequence[Entry]) -> None:
        """Write the entries, all or none; they are on the disk on return. StorageError (a full disk)."""
        rows = [(entry.seq, entry.table, entry.uid, entry.payload) for entry in entries]
        with self._transaction() as connection:
            connection.executemany("INSERT INTO entries VALUES (?, ?, ?, ?)", rows)

    def entries(self) -> Iterator[Entry]:
        """Everything, in order. DamagedError."""
        with self._lock:
            try:
                rows = self._connection.execute("SELECT * FROM entries ORDER BY seq").fetchall()
            except sqlite3.DatabaseError as error:
                raise DamagedError(f"{self._path} cannot be read: {error}") from error
        return (Entry(*row) for row in rows)

    def drop_through(self, seq: int) -> None:
        """Forget the entries up to this one: the tables have them. StorageError."""
        with self._transaction() as connection:
            connection.execute("DELETE FROM entries WHERE seq <= ?", (seq,))
        if self._log_size() > LOG_BYTES:
            self.purge()

    def purge(self) -> None:
        """Empty the log, so that no file holds a byte of what was dropped. StorageError."""
        with self._lock:
            try:
                busy, _, _ = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            except sqlite3.Error as error:
                raise StorageError(f"{self._path} cannot be written: {error}") from error
        if busy:
            raise StorageError(f"the log of {self._path} is being read by another program")

    def close(self) -> None:
        """Let another process open it. What is in it stays."""
        with self._lock:
            self._connection.close()

    def _log_size(self) -> int:
        return self._log.stat().st_size if self._log.exists() else 0

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                yield self._connection
                self._connection.execute("COMMIT")
            except sqlite3.Error as error:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise StorageError(f"{self._path} cannot be written: {error}") from error
