"""One append-only LanceDB table: open with repair, append, read one user's rows, compact."""

import logging
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from threading import Lock
from typing import Any, Self

import lancedb
import pyarrow as pa
from lancedb.index import BTree

from personavlm.memory_store.errors import DamagedError
from personavlm.memory_store.records import UserKey
from personavlm.memory_store.storage.tables import Row, arrow_table, uid_of

logger = logging.getLogger(__name__)

FRAGMENTS_BEFORE_COMPACTION = 32  # a read costs about 0.16 ms for each fragment
KEEP_VERSIONS = timedelta(minutes=10)  # far longer than the longest read of an older version
INDEX_CACHE_BYTES = METADATA_CACHE_BYTES = 128 << 20

# What lancedb raises for files that are missing, cut short or filled with zeros.
_UNREADABLE = (RuntimeError, ValueError, OSError)


def connect(folder: Path) -> Any:  # noqa: ANN401 - lancedb has no types
    """A connection whose caches stay within bounds."""
    session = lancedb.Session(
        index_cache_size_bytes=INDEX_CACHE_BYTES, metadata_cache_size_bytes=METADATA_CACHE_BYTES
    )
    return lancedb.connect(folder, session=session)


def quoted(text: str) -> str:
    """``text`` as an SQL string literal; any text, since nothing but the quote itself has a meaning."""
    return "'" + text.replace("'", "''") + "'"


class LanceTable:
    """Rows of all users. Safe with threads: appends take turns, reads see the newest version."""

    def __init__(self, table: Any, schema: pa.Schema, owners: set[UserKey]) -> None:  # noqa: ANN401
        self._table = table
        self._schema = schema
        self._owners = owners
        self._writer = Lock()

    @classmethod
    def open(cls, connection: Any, folder: Path, name: str, schema: pa.Schema) -> Self:  # noqa: ANN401
        """Open or create the table. A head version that cannot be read is set aside first.

        DamagedError where no version can be read; all files are then left as they were.
        """
        table_folder = folder / f"{name}.lance"
        set_aside: list[Path] = []
        while heads := _manifests(table_folder):
            try:
                table = connection.open_table(name)
                owners = _owners(table, schema)
            except _UNREADABLE as error:
                set_aside.append(_set_aside(heads[0]))
                logger.warning("%s: version %s cannot be read: %s", name, heads[0].stem, error)
            else:
                _repair_index(table)
                return cls(table, schema, owners)
        if set_aside and not _holds_nothing(set_aside):
            for path in set_aside:
                path.rename(path.with_suffix(""))
            raise DamagedError(f"no version of the table {name} can be read")
        table = connection.create_table(name, schema=schema)
        table.create_index("uid", config=BTree())
        return cls(table, schema, set())

    @property
    def owners(self) -> frozenset[UserKey]:
        """Users who have a row here."""
        with self._writer:
            return frozenset(self._owners)

    def append(self, user: UserKey, rows: Sequence[Row]) -> None:
        """Commit the rows of one user in one step: all of them or none."""
        table = arrow_table(rows, self._schema)
        with self._writer:
            # Before the commit: should it raise after it took effect, the rows must not stay unseen.
            self._owners.add(user)
            self._table.add(table)

    def read(self, user: UserKey) -> pa.Table:
        """All rows of one user, in no particular order."""
        with self._writer:
            if user not in self._owners:
                return self._schema.empty_table()
        return self._table.search().where(f"uid = {quoted(uid_of(user))}").limit(None).to_arrow()

    def fragments(self) -> int:
        """How many pieces the table consists of; each append adds one."""
        return int(self._table.stats()["fragment_stats"]["num_fragments"])

    def compact(self) -> None:
        """Join small fragments, index new rows, drop old versions. Appends may go on meanwhile."""
        if self.fragments() >= FRAGMENTS_BEFORE_COMPACTION:
            self._table.optimize(cleanup_older_than=KEEP_VERSIONS)


def _manifests(table_folder: Path) -> list[Path]:
    """Manifests, newest version first: their names count down from 2**64 - 1."""
    return sorted((table_folder / "_versions").glob("*.manifest"))


def _set_aside(manifest: Path) -> Path:
    return manifest.rename(manifest.with_name(manifest.name + ".corrupt"))


def _holds_nothing(set_aside: list[Path]) -> bool:
    """Whether the table got no further than version 1, its empty beginning."""
    return [path.name.split(".")[0] for path in set_aside] == [str(2**64 - 2)]


def _owners(table: Any, schema: pa.Schema) -> set[UserKey]:  # noqa: ANN401
    """Users with rows; reading them opens every data file. ValueError for a foreign schema."""
    if table.schema.names != schema.names:
        raise ValueError(f"its columns are {table.schema.names}")
    pairs = table.search().select(["tenant", "user"]).limit(None).to_arrow().group_by(["tenant", "user"])
    found = pairs.aggregate([])
    return {
        UserKey(*pair) for pair in zip(found["tenant"].to_pylist(), found["user"].to_pylist(), strict=True)
    }


def _repair_index(table: Any) -> None:  # noqa: ANN401
    """Build the index on ``uid`` where it is missing or cannot be read."""
    if table.list_indices():
        try:
            table.search().where("uid = ''").limit(1).to_arrow()
            return
        except _UNREADABLE as error:
            logger.warning("%s: its index cannot be read: %s", table.name, error)
    table.create_index("uid", config=BTree(), replace=True)
