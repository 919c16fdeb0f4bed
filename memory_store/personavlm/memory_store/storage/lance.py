"""One append-only LanceDB table: open with repair, append, read one user's rows, compact, rewrite."""

import errno
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from threading import Lock
from typing import Any, Self

import lancedb
import pyarrow as pa
import pyarrow.compute as pc
from lancedb.index import BTree

from personavlm.memory_store.errors import DamagedError
from personavlm.memory_store.storage.gate import Gate
from personavlm.memory_store.storage.sql import quoted
from personavlm.memory_store.storage.table_files import TableFiles
from personavlm.memory_store.storage.table_repair import repair_index, repaired, set_back

FRAGMENTS_BEFORE_COMPACTION = 32  # a read costs about 0.16 ms for each fragment
SMALL_BYTES = 64 << 20
KEEP_VERSIONS = timedelta(minutes=10)  # far longer than the longest read of an older version
NO_VERSION_YET = timedelta(days=36_500)
SCANNED_AT_ONCE = 4096
REWRITTEN_AT_ONCE = 20_000  # rows in memory while a table is sorted
ROWS_AT_ONCE = 10_000  # of a table that is read from end to end
INDEX_CACHE_BYTES = METADATA_CACHE_BYTES = 128 << 20

_ENCRYPTED_VECTORS = {"on_bad_vectors": "null"}  # an encrypted row's vector is null: let it stand


# Of one request to a bucket. LanceDB tries a write eight times, and somebody waits for it.
_PATIENCE = {"timeout": "10s"}


def connect(uri: str, options: dict[str, str] | None = None) -> Any:  # noqa: ANN401 - lancedb has no types
    """A connection whose caches stay within bounds, and whose requests to a bucket do so too."""
    session = lancedb.Session(
        index_cache_size_bytes=INDEX_CACHE_BYTES, metadata_cache_size_bytes=METADATA_CACHE_BYTES
    )
    return lancedb.connect(uri, session=session, storage_options={**_PATIENCE, **(options or {})})


class LanceTable:
    """Rows of all users. Safe with threads: writers take turns, reads see the newest version."""

    def __init__(self, table: Any, schema: pa.Schema, files: TableFiles | None) -> None:  # noqa: ANN401
        self._table = table
        self._schema = schema
        self.empty = schema.empty_table()
        self._files = files
        self._writer = Lock()
        self._removal = Lock()  # taken before ``_writer``
        self._gate = Gate()
        self._unsorted = 0  # rows added since the last rewrite, as far as this process knows
        self._whole = self.version  # the newest version of which every file is complete and on the disk
        self._taken_back = False  # whether the table stands at an older version than its newest

    @classmethod
    def open(
        cls,
        connection: Any,  # noqa: ANN401
        name: str,
        schema: pa.Schema,
        folder: Path | None,
        journalled: int | None = None,
    ) -> Self:
        """Open or create the table. ``folder`` is the database's where it is a local one: there, a head
        version that cannot be read is set aside first, and so is one with rows from the ``seq`` on at which
        the journal begins.

        DamagedError where no version can be read; all files are then left as they were.
        """
        files = TableFiles(folder / f"{name}.lance") if folder else None
        if files and journalled is not None:
            set_back(name, files.folder, journalled)
        table = repaired(connection, name, files.folder) if files else _existing(connection, name)
        if table is None:
            table = connection.create_table(name, schema=schema)
            table.create_index("uid", config=BTree())
        elif table.schema.names != schema.names:
            raise DamagedError(
                f"the table {name} has the columns {table.schema.names}: another version of this program "
                "wrote it; export its users there and import them here"
            )
        else:
            repair_index(table, torn=files.sync() if files else [])
        if files:
            files.sync()
        return cls(table, schema, files)

    @property
    def schema(self) -> pa.Schema:
        """Columns of the table."""
        return self._schema

    @property
    def version(self) -> int:
        """Number of the newest version."""
        return int(self._table.version)

    def add(self, rows: pa.Table) -> None:
        """Commit the rows in one step, all or none; on a local disk they outlive a loss of power."""
        with self._change():
            self._table.add(rows, **_ENCRYPTED_VECTORS)
            self._unsorted += rows.num_rows
            self._sync()

    def read(self, uid: str, columns: Sequence[str] | None = None) -> pa.Table:
        """All rows of one user, in no particular order, with all columns or some."""
        return self.find(f"uid = {quoted(uid)}", columns)

    def find(self, condition: str, columns: Sequence[str] | None = None) -> pa.Table:
        """Rows that meet an SQL condition, in no particular order."""
        with self._gate.shared():
            return (
                self._table.search()
                .where(condition)
                .select(list(columns or self._schema.names))
                .limit(None)
                .to_arrow()
            )

    def scan(self, condition: str, columns: Sequence[str]) -> Iterator[pa.Table]:
        """Rows that meet an SQL condition, batch by batch; to be read to the end before anything else is."""
        with self._gate.shared():
            query = self._table.search().where(condition).select(list(columns)).limit(None)
            for batch in query.to_batches(SCANNED_AT_ONCE):
                yield pa.Table.from_batches([batch])

    def columns(self, names: Sequence[str]) -> pa.Table:
        """Some columns of all rows."""
        with self._gate.shared():
            return self._table.search().select(list(names)).limit(None).to_arrow()

    def batches(self, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Some columns of all rows, some rows at a time, for who takes long. To be used within ``kept``."""
        rows = self._table.search().select(list(names)).limit(None)
        return iter(rows.to_batches(ROWS_AT_ONCE))

    def last_seq(self) -> int:
        """The greatest ``seq`` of a row, 0 without rows."""
        return int(pc.max(self.columns(["seq"])["seq"]).as_py() or 0)

    def count(self, condition: str | None = None) -> int:
        """How many rows there are, or how many meet an SQL condition."""
        with self._gate.shared():
            return int(self._table.count_rows(condition))

    def fragments(self) -> int:
        """How many pieces the table consists of; each append adds one."""
        return int(self._table.stats()["fragment_stats"]["num_fragments"])

    def nbytes(self) -> int:
        """Bytes of the newest version's files."""
        return int(self._table.stats()["total_bytes"])

    def fragmented(self) -> bool:
        """Whether it is time to join fragments: in a small table whenever there are several, in a large one,
        of which LanceDB would write most rows anew, once there are many."""
        fragments = self.fragments()
        return fragments >= FRAGMENTS_BEFORE_COMPACTION or (fragments > 1 and self.nbytes() < SMALL_BYTES)

    def compact(self) -> None:
        """Join small fragments, index new rows, drop old versions. Reads may go on meanwhile.

        New files are flushed before the old ones that they replace may go.
        """
        with self._removal, self._change():
            self._table.optimize(cleanup_older_than=NO_VERSION_YET)
            self._sync()
            self._table.optimize(cleanup_older_than=KEEP_VERSIONS)
            self._sync()

    def mostly_unsorted(self) -> bool:
        """Whether a quarter of the rows has come since they were last sorted by user. In a bucket nothing is
        sorted: see ``_replace``."""
        enough = self._unsorted >= REWRITTEN_AT_ONCE and self._unsorted * 4 >= self.count()
        return bool(self._files) and enough

    def rewrite(self, *, without: str = "false") -> int:
        """Write all rows anew, in a folder sorted by user and time of writing, which makes a user's load
        three times as fast.

        Rows that meet the SQL condition ``without`` are left out: how many. Every older version and every
        file of it is gone afterwards, so nothing of those rows is left on the disk. Appends wait; reads
        wait for the last step only.
        """
        with self._removal, self._change():
            left_out = self._sort(without) if self._files else self._replace(without)
            self._table.create_index("uid", config=BTree(), replace=True)
            self._sync()
            self._forget_versions()
            self._unsorted = 0
            return left_out

    def _sort(self, without: str) -> int:
        order = self._table.search().select(["uid", "seq"]).with_row_id(True).limit(None).to_arrow()
        leave = self._table.search().where(without).select(["seq"]).with_row_id(True).limit(None)
        left_out = leave.to_arrow()["_rowid"]
        order = order.filter(pc.invert(pc.is_in(order["_rowid"], left_out)))
        order = order.sort_by([("uid", "ascending"), ("seq", "ascending")])
        self._table.add(self._in_order(order["_rowid"].to_pylist()), mode="overwrite", **_ENCRYPTED_VECTORS)
        return len(left_out)

    def _replace(self, without: str) -> int:
        """Where a kernel's lock does not keep other writers out. LanceDB lets an overwrite win over whatever
        another writer committed meanwhile; rows that it appended outlive a deletion and an update."""
        left_out = self._table.delete(without).num_deleted_rows
        self._table.update(values_sql={"seq": "seq"})
        return int(left_out)

    def forget_versions(self) -> None:
        """Remove every older version, and every file that no version refers to."""
        with self._removal, self._change():
            self._table.optimize(cleanup_older_than=NO_VERSION_YET)
            self._sync()
            self._forget_versions()

    @contextmanager
    def kept(self) -> Iterator[None]:
        """No file goes until the block ends; rows may come. Whoever wants to remove something waits."""
        with self._removal:
            yield

    def _in_order(self, row_ids: list[int]) -> pa.RecordBatchReader:
        def batches() -> Iterator[pa.RecordBatch]:
            for first in range(0, len(row_ids), REWRITTEN_AT_ONCE):
                part = self._table.take_row_ids(row_ids[first : first + REWRITTEN_AT_ONCE])
                yield from part.to_arrow().select(self._schema.names).cast(self._schema).to_batches()

        return pa.RecordBatchReader.from_batches(self._schema, batches())

    def _forget_versions(self) -> None:
        # Files that no version refers to may be another writer's that is about to commit them.
        ours = bool(self._files)
        with self._gate.exclusive(), warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # it warns of readers: the gate keeps them out
            self._table.optimize(cleanup_older_than=timedelta(0), delete_unverified=ours)
        self._sync()

    @contextmanager
    def _change(self) -> Iterator[None]:
        """One at a time. In a folder, what fails is taken back: LanceDB may have committed a version that
        names a file which a full disk cut short, and would build on it."""
        with self._writer:
            if self._taken_back:
                self._table.checkout(self._whole)
                self._table.restore()
                self._taken_back = False
            try:
                yield
            except BaseException:  # whatever it was, the version may be there
                self._take_back()
                raise

    def _take_back(self) -> None:
        if self._files:
            self._taken_back = True
            self._table.checkout(self._whole)

    def _sync(self) -> None:
        torn = self._files.sync() if self._files else []
        if torn:
            raise OSError(errno.ENOSPC, "it was cut short when it was written", str(torn[0]))
        self._whole = self.version


def _existing(connection: Any, name: str) -> Any | None:  # noqa: ANN401
    return connection.open_table(name) if name in connection.list_tables().tables else None
