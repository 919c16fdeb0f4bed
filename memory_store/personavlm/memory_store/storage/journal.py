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
from itertools import accumulate
from pathlib import Path
from threading import Lock
from typing import BinaryIO, NamedTuple, Self
from weakref import WeakValueDictionary

from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_json

from personavlm.memory_store.errors import DamagedError, InUseError, StorageError

LOG_BYTES = 8 << 20
"""Size that the log keeps. SQLite moves it into the main file from 4 MB on and then writes it from the start
again: overwriting a log costs less than growing one, so only ``purge`` cuts it to nothing."""

_MAGIC = b"SQLite format 3\0"
_SETTINGS = (
    "locking_mode=EXCLUSIVE",
    "secure_delete=FAST",  # ON writes freed pages once more while all wait; ``purge`` takes them all
    "temp_store=MEMORY",  # what ``purge`` copies goes into no other file
    "journal_mode=WAL",
    "synchronous=FULL",
    f"journal_size_limit={LOG_BYTES}",
)
_SCHEMA = "CREATE TABLE IF NOT EXISTS groups (last INTEGER PRIMARY KEY, entries BLOB NOT NULL) STRICT"
_DAMAGES = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR})


class Entry(NamedTuple):
    """One write: ``seq`` is its place among the shard's writes."""

    seq: int
    table: str
    uid: str
    payload: bytes


_contents = TypeAdapter(list[tuple[int, str, str, int]])  # of each entry its payload's length and the rest


class Journal:
    """Safe with threads: calls take turns.

    Entries that are written together are one row: a row for each takes longer to write, and far longer to
    drop while all writers wait.
    """

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
        """Write a group, in order of ``seq`` and after all that is here; it is on the disk on return.

        StorageError: a full disk, or a group that ends with the same ``seq`` is here.
        """
        with self._transaction() as connection:
            connection.execute("INSERT INTO groups VALUES (?, ?)", (entries[-1].seq, _packed(entries)))

    def entries(self) -> Iterator[Entry]:
        """Everything, in order. DamagedError."""
        for group in self._groups("SELECT entries FROM groups ORDER BY last"):
            yield from self._unpacked(group)

    def first_seq(self) -> int | None:
        """Where it begins; None where it is empty. DamagedError."""
        for group in self._groups("SELECT entries FROM groups ORDER BY last LIMIT 1"):
            return self._unpacked(group)[0].seq
        return None

    def _groups(self, query: str) -> list[bytes]:
        with self._lock:
            try:
                return [group for (group,) in self._connection.execute(query)]
            except sqlite3.DatabaseError as error:
                raise _damaged(self._path, str(error)) from error

    def _unpacked(self, group: bytes) -> list[Entry]:
        """DamagedError."""
        head, _, payloads = group.partition(b"\n")
        try:
            contents = _contents.validate_json(head)
        except ValidationError as error:
            raise _damaged(self._path, str(error)) from error
        ends = accumulate(length for *_, length in contents)
        return [
            Entry(seq, table, uid, payloads[end - length : end])
            for (seq, table, uid, length), end in zip(contents, ends, strict=True)
        ]

    def drop_through(self, seq: int) -> None:
        """Forget the groups that end by this entry: the tables have them. StorageError."""
        with self._transaction() as connection:
            connection.execute("DELETE FROM groups WHERE last <= ?", (seq,))

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
        connection.execute("SELECT last, entries FROM groups LIMIT 1").fetchall()
    except BaseException:
        connection.close()
        raise
    return connection


def _packed(entries: Sequence[Entry]) -> bytes:
    """A line of JSON that says what is there, then the payloads."""
    contents = [(seq, table, uid, len(payload)) for seq, table, uid, payload in entries]
    return b"".join([to_json(contents), b"\n", *(entry.payload for entry in entries)])


def _damaged(path: Path, reason: str) -> DamagedError:
    return DamagedError(f"{path} cannot be read: {reason}; it may hold acknowledged writes")
