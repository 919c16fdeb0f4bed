"""Stand-in."""

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Self


@dataclass(frozen=True, slots=True)
class Entry:
    seq: int
    table: str
    uid: str
    payload: bytes


class Journal:
    def __init__(self, db: sqlite3.Connection) -> None:
        self._db, self._lock = db, Lock()

    @classmethod
    def open(cls, path: Path, epoch: int) -> Self:
        db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        db.execute("pragma journal_mode=wal")
        db.execute("pragma synchronous=full")
        db.execute("pragma secure_delete=on")
        db.execute(
            'create table if not exists entries(seq integer primary key, "table" text, uid text, payload blob)'
        )
        return cls(db)

    def append(self, entries: Sequence[Entry]) -> None:
        with self._lock:
            self._db.execute("begin")
            self._db.executemany(
                "insert into entries values(?,?,?,?)", [(e.seq, e.table, e.uid, e.payload) for e in entries]
            )
            self._db.execute("commit")

    def entries(self) -> Iterator[Entry]:
        with self._lock:
            rows = self._db.execute("select * from entries order by seq").fetchall()
        yield from (Entry(*row) for row in rows)

    def drop_through(self, seq: int) -> None:
        with self._lock:
            self._db.execute("delete from entries where seq<=?", (seq,))

    def purge(self) -> None:
        with self._lock:
            self._db.execute("pragma wal_checkpoint(truncate)")

    def close(self) -> None:
        self._db.close()
