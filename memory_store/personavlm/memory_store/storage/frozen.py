"""A shard that is only read, by any number of processes at once, while nobody writes it."""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import lancedb
import pyarrow as pa

from personavlm.memory_store.errors import InUseError, StorageError
from personavlm.memory_store.storage.lance import LanceTable
from personavlm.memory_store.storage.writes import Backlog, Write


def require_settled(folder: Path) -> None:
    """Raises `InUseError` where the journal still holds writes: they would not be seen."""
    path = folder / "journal.sqlite"
    log = path.with_name(path.name + "-wal")
    if (log.exists() and log.stat().st_size) or _holds_writes(path):
        raise InUseError(
            f"{folder} was not closed: its journal holds writes that are not in the tables; start its "
            "service and stop it again, then it can be read"
        )


def _holds_writes(journal: Path) -> bool:
    if not journal.exists():
        return False
    # Immutable, or SQLite would make files beside it.
    with closing(sqlite3.connect(f"{journal.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as opened:
        return opened.execute("SELECT 1 FROM groups LIMIT 1").fetchone() is not None


def open_tables(connection: Any, schemas: Mapping[str, pa.Schema]) -> dict[str, LanceTable]:  # noqa: ANN401
    """The tables as they are, none repaired or made; one that is not there is empty."""
    there = set(connection.list_tables(limit=len(schemas) + 100).tables)
    nowhere = lancedb.connect("memory://")
    return {
        name: LanceTable(
            connection.open_table(name) if name in there else nowhere.create_table(name, schema=schema),
            schema,
            None,
        )
        for name, schema in schemas.items()
    }


class FrozenWriter:
    """A ``Writer`` that stores nothing. Derived data may be lost by its nature; anything else is refused."""

    def write(self, writes: Sequence[Write]) -> None:
        """StorageError for what would have to be kept."""
        if any(write.payload for write in writes):
            raise StorageError("the store was opened for reading only")

    def tail(self, table: str, uid: str) -> Sequence[Write]:
        """Nothing."""
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
        """Always."""
        yield

    def purge(self) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Nothing to let go of."""
