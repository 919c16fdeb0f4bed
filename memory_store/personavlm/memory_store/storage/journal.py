"""The journal: acknowledged writes that are not in the tables yet, in one SQLite file.

WAL mode with ``synchronous=FULL``: a transaction is on the disk when it returns, and of a torn tail
everything up to the last whole transaction is read. One connection does all the work, checkpoints
included: two that raced could lose the log in SQLite before 3.51.3. It keeps the file to itself, by locks
that the kernel drops as soon as the process closes any descriptor of the file
(https://sqlite.org/howtocorrupt.html#_posix_advisory_locks_canceled_by_a_separate_thread_doing_close_):
whoever wants to read the file asks ``bytes_of_open``.
"""

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import BinaryIO, NamedTuple, Self
from weakref import WeakValueDictionary

from personavlm.memory_store.errors import DamagedError, InUseError, StorageError

LOG_BYTES = 8 << 20
"""Size that the log keeps. SQLite moves it into the main file from 4 MB on and then writes it from the start
again: overwriting a log costs less than growing one, so only ``purge`` cuts it to nothing."""

_MAGIC = b"SQLite format 3\0"
_SETTINGS = (
    "locking_mode=EXCLUSIVE",
    "secure_delete=ON",  # what is dropped leaves few bytes in the file; ``purge`` takes the rest
    "temp_store=MEMORY",  # what ``purge`` copies goes into no other file
    "journal_mode=WAL",
    "synchronous=FULL",
    f"journal_size_limit={LOG_BYTES}",
)
_SCHEMA = """
CREATE TABLE IF NOT EXISTS entries (seq INTEGER PRIMARY KEY, "table" TEXT, uid TEXT, payload BLOB) STRICT
"""
# An identical entry changes nothing; another one with its ``seq`` fails, as no row can have the seq NULL.
_INSERT = """
INSERT INTO entries VALUES (?, ?, ?, ?) ON CONFLICT (seq) DO UPDATE SET seq = NULL
WHERE ("table", uid, payload) IS NOT (excluded."table", excluded.uid, excluded.payload)
"""
_DAMAGES = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR})


class Entry(NamedTuple):
    """One write: ``seq`` is its place among the shard's writes."""

    seq: int
    table: str
    uid: str
    payload: bytes


class Journal:
    """Safe with threads: calls take turns."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection, self._path = connection, path
        self._lock = Lock()
        self._file: BinaryIO = path.open("rb", buffering=0)  # to read by; closed after the connection
        self._identity = _identity(os.fstat(self._file.fileno()))
        _opened[self._identity] = self

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open or create the journal; of a torn tail, what was whole is kept.

        InUseError where this or another process has it open, DamagedError where it is no journal any more,
        StorageError where the disk fails.
        """
        if _opened_here(path):
            raise InUseError(f"this process has {path} open")
        _require_database(path)
        try:
            return cls(_connect(path), path)
        except sqlite3.Error as error:
            code = error.sqlite_errorcode & 0xFF  # the rest says more about the same error
            if code == sqlite3.SQLITE_BUSY:
                raise InUseError(f"another process has {path} open") from error
            if code in _DAMAGES:
                raise _damaged(path, str(error)) from error
            raise StorageError(f"{path} cannot be opened: {error}") from error

    def append(self, entries: Sequence[Entry]) -> None:
        """Write the entries, all or none; they are on the disk on return. What is there already stays.

        StorageError: a full disk, or another entry has the same ``seq``.
        """
        with self._transaction() as connection:
            connection.executemany(_INSERT, entries)

    def entries(self) -> Iterator[Entry]:
        """Everything, in order. DamagedError."""
        with self._lock:
            try:
                rows = self._connection.execute("SELECT * FROM entries ORDER BY seq").fetchall()
            except sqlite3.DatabaseError as error:
                raise _damaged(self._path, str(error)) from error
        return (Entry(*row) for row in rows)

    def first_seq(self) -> int | None:
        """Where it begins; None where it is empty. DamagedError."""
        with self._lock:
            try:
                (first,) = self._connection.execute("SELECT min(seq) FROM entries").fetchone()
            except sqlite3.DatabaseError as error:
                raise _damaged(self._path, str(error)) from error
        return None if first is None else int(first)

    def drop_through(self, seq: int) -> None:
        """Forget the entries up to this one: the tables have them. StorageError."""
        with self._transaction() as connection:
            connection.execute("DELETE FROM entries WHERE seq <= ?", (seq,))

    def purge(self) -> None:
        """Leave no byte of what was dropped in any file. StorageError."""
        with self._lock, self._storage_errors():
            # Entries that moved between pages may have left copies, which secure_delete does not reach.
            self._connection.execute("VACUUM")
            busy, _, _ = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            raise StorageError(f"the log of {self._path} is being read by another program")

    def file_bytes(self) -> bytes:
        """Every byte of the main file, those of free pages too. Not of the log, which has no locks."""
        with self._lock:
            self._file.seek(0)
            return self._file.read()

    def close(self) -> None:
        """Let another process open it. What is in it stays."""
        with self._lock:
            _opened.pop(self._identity, None)
            self._connection.close()
            self._file.close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock, self._storage_errors():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:  # some errors have ended it already
                    self._connection.execute("ROLLBACK")
                raise

    @contextmanager
    def _storage_errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise StorageError(f"{self._path} cannot be written: {error}") from error


_opened: WeakValueDictionary[tuple[int, int], Journal] = WeakValueDictionary()
"""Journals that this process has open, by their files: a lock is a file's, whatever its path."""


def bytes_of_open(path: Path) -> bytes | None:
    """``Journal.file_bytes`` of the journal that this process has open there; None for any other file."""
    journal = _opened_here(path)
    return journal.file_bytes() if journal else None


def _opened_here(path: Path) -> Journal | None:
    try:
        return _opened.get(_identity(path.stat()))
    except FileNotFoundError:
        return None


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _require_database(path: Path) -> None:
    """SQLite deletes the log of a file that is empty or gone, and moves it into one that is no database."""
    log = path.with_name(path.name + "-wal")
    head = b""
    if path.exists():
        with path.open("rb") as file:
            head = file.read(len(_MAGIC))
    if head != _MAGIC and (head or (log.exists() and log.stat().st_size)):
        raise _damaged(path, "it is no database, or was taken from its log")


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=0)
    try:
        for setting in _SETTINGS:
            connection.execute(f"PRAGMA {setting}")
        connection.execute(_SCHEMA)
        connection.execute('SELECT seq, "table", uid, payload FROM entries LIMIT 1').fetchall()
    except BaseException:
        connection.close()
        raise
    return connection


def _damaged(path: Path, reason: str) -> DamagedError:
    return DamagedError(f"{path} cannot be read: {reason}; it may hold acknowledged writes")
