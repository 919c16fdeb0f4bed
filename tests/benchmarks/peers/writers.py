"""Bare writers to compare durable adds with: rows alone, no vectors, no reading back.

All take the store's own texts. In a group commit, whoever comes while the disk is busy goes into the next
transaction together; the pattern is the store's own on every side, once for threads, once for an event loop.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import lancedb
import pyarrow as pa

from personavlm.memory_store.storage.group_commit import GroupCommit
from personavlm.memory_store.storage.table_files import TableFiles
from tests.benchmarks.peers.items import Item
from tests.benchmarks.peers.sqlite_numpy import durable_connection

ROWS = pa.schema(dict.fromkeys(("id", "user", "text", "reply"), pa.string()))


class SqliteInserts:
    """SQLite in WAL mode with synchronous=FULL, one INSERT a transaction."""

    def __init__(self, folder: Path) -> None:
        self._db = durable_connection(folder / "rows.sqlite")
        self._db.execute("create table rows(id text primary key, user text, text text, reply text)")

    def add(self, item: Item) -> None:
        self.commit([item])

    def commit(self, items: Sequence[Item]) -> None:
        """One transaction for all."""
        rows = [(item.id, item.user, item.text, item.reply) for item in items]
        with self._db:
            self._db.executemany("insert into rows values (?, ?, ?, ?)", rows)

    def close(self) -> None:
        self._db.close()


class LanceCommits:
    """LanceDB, its new files flushed to the disk after each commit, since it does not do so itself."""

    def __init__(self, folder: Path) -> None:
        self._table = lancedb.connect(str(folder)).create_table("rows", schema=ROWS)
        self._files = TableFiles(folder / "rows.lance")

    def add(self, item: Item) -> None:
        self.commit([item])

    def commit(self, items: Sequence[Item]) -> None:
        """One commit for all."""
        columns = {name: [getattr(item, name) for item in items] for name in ROWS.names}
        self._table.add(pa.table(columns, schema=ROWS))
        self._files.sync()

    def close(self) -> None:
        """Nothing to let go of."""


class Grouped:
    """Group commit in front of one of the two, for threads."""

    def __init__(self, writer: SqliteInserts | LanceCommits) -> None:
        self._writer = writer
        self._group: GroupCommit[Item] = GroupCommit(writer.commit)

    def add(self, item: Item) -> None:
        self._group.submit(item)

    def close(self) -> None:
        self._writer.close()


class Queued:
    """Group commit in front of one of the two, for the tasks of an event loop: as ``TurnQueue`` does it."""

    def __init__(self, writer: SqliteInserts | LanceCommits) -> None:
        self._writer = writer
        self._waiting: list[tuple[Item, asyncio.Future[None]]] = []
        self._worker: asyncio.Task[None] | None = None

    async def add(self, item: Item) -> None:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, done))
        if self._worker is None:
            self._worker = asyncio.create_task(self._work())
        await done

    async def _work(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            await asyncio.to_thread(self._writer.commit, [item for item, _ in batch])
            for _, done in batch:
                done.set_result(None)
        self._worker = None

    def close(self) -> None:
        self._writer.close()
