"""SQLite for the rows, NumPy for the ranking: what one writes before taking any engine."""

import sqlite3
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from personavlm.memory_store.encoder import Vectors
from tests.benchmarks.peers.items import Item


class SqliteNumpy:
    """Vectors are read from the file for each search. Adds are durable: WAL mode, synchronous=FULL."""

    def __init__(self, folder: Path, dim: int) -> None:
        self._db = durable_connection(folder / "memories.sqlite")
        self._db.execute(
            "create table memories(id text primary key, user text, text text, reply text, vector blob)"
        )
        self._db.execute("create index memories_user on memories(user)")

    def add(self, item: Item) -> None:
        self.load([item])

    def load(self, items: Sequence[Item]) -> None:
        rows = [(item.id, item.user, item.text, item.reply, item.vector.tobytes()) for item in items]
        with self._db:
            self._db.executemany("insert into memories values (?, ?, ?, ?, ?)", rows)

    def settle(self) -> None:
        self._db.execute("pragma wal_checkpoint(truncate)")

    def nearest(self, user: str, vector: Vectors, k: int) -> list[str]:
        rows = self._db.execute("select id, vector from memories where user = ?", (user,)).fetchall()
        matrix = np.frombuffer(b"".join(blob for _, blob in rows), np.float32).reshape(len(rows), -1)
        return [rows[place][0] for place in np.argsort(-(matrix @ vector))[:k]]

    def close(self) -> None:
        self._db.close()


def durable_connection(path: Path) -> sqlite3.Connection:
    """A connection whose commits outlive a loss of power; any thread may use it, one at a time."""
    db = sqlite3.connect(path, check_same_thread=False)
    db.execute("pragma journal_mode = wal")
    db.execute("pragma synchronous = full")
    return db
