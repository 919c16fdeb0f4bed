"""PostgreSQL with pgvector, from the package ``pgserver``: a server of its own on a Unix socket."""

import importlib
from collections.abc import Sequence
from pathlib import Path

from personavlm.memory_store.encoder import Vectors
from tests.benchmarks.peers.items import Item

COLUMNS = ("id", "owner", "text", "reply", "vector")


class PgVector:
    """Exact search after the filter, prepared statements, vectors sent in binary. Commits are durable."""

    def __init__(self, folder: Path, dim: int) -> None:
        self._server = importlib.import_module("pgserver").get_server(folder / "pg", cleanup_mode="delete")
        psycopg = importlib.import_module("psycopg")
        self._db = psycopg.connect(self._server.get_uri(), autocommit=True)
        self._db.execute("create extension vector")
        importlib.import_module("pgvector.psycopg").register_vector(self._db)
        texts = "id text primary key, owner text not null, text text, reply text"
        self._db.execute(f"create table memories({texts}, vector vector({dim}))")
        # Vectors stay in the row: fetching them from beside the table would cost a search several times more.
        self._db.execute("alter table memories alter column vector set storage plain")
        self._db.execute("create index on memories(owner)")

    def add(self, item: Item) -> None:
        insert = "insert into memories values (%s, %s, %s, %s, %s)"
        self._db.execute(insert, _row(item), prepare=True)

    def load(self, items: Sequence[Item]) -> None:
        copy_in = "copy memories from stdin with (format binary)"
        with self._db.cursor() as cursor, cursor.copy(copy_in) as copy:
            copy.set_types(["text", "text", "text", "text", "vector"])
            for item in items:
                copy.write_row(_row(item))

    def settle(self) -> None:
        self._db.execute("vacuum analyze memories")

    def nearest(self, user: str, vector: Vectors, k: int) -> list[str]:
        query = "select id from memories where owner = %s order by vector <#> %s limit %s"
        rows = self._db.execute(query, (user, vector, k), prepare=True, binary=True).fetchall()
        return [id for (id,) in rows]

    def close(self) -> None:
        self._db.close()
        self._server.cleanup()


def _row(item: Item) -> tuple[str, str, str, str, Vectors]:
    return item.id, item.user, item.text, item.reply, item.vector
