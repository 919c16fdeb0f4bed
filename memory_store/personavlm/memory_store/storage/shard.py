"""The tables, journal and media of one shard, and how a user's state is loaded from them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import pyarrow as pa

from personavlm.memory_store.cache import UserState
from personavlm.memory_store.encoder import ImageEncoder, TextEncoder
from personavlm.memory_store.errors import DamagedError, NotFoundError
from personavlm.memory_store.records import MemoryKind, UserKey
from personavlm.memory_store.retrieval.index import SearchIndex
from personavlm.memory_store.storage.cold_rows import UserColdRows
from personavlm.memory_store.storage.directory import Directory, columns_of
from personavlm.memory_store.storage.fence import Fence
from personavlm.memory_store.storage.frozen import FrozenWriter, open_tables, require_settled
from personavlm.memory_store.storage.lance import LanceTable, connect
from personavlm.memory_store.storage.local_objects import LocalObjects
from personavlm.memory_store.storage.media import MediaFolder
from personavlm.memory_store.storage.objects import MissingError, Objects, open_objects
from personavlm.memory_store.storage.probe import require_conditional_writes
from personavlm.memory_store.storage.sealing import CLEAR, Protection
from personavlm.memory_store.storage.settings import StorageSettings
from personavlm.memory_store.storage.shard_parts import journal_of, schemas_with, writer_of
from personavlm.memory_store.storage.sql import quoted
from personavlm.memory_store.storage.tables import Row, uid_of
from personavlm.memory_store.storage.vectors import VectorTable, vectors_name
from personavlm.memory_store.storage.writes import Write, Writer, table_of
from personavlm.memory_store.working_set import WorkingSet

UNFINISHED = "restore-unfinished"
"""The object that stands in a place into which a backup is being restored."""


@dataclass(frozen=True, slots=True)
class DerivedRows:
    """One table of derived data, user by user."""

    shard: "Shard"
    table: str

    def read(self, user: UserKey, columns: Sequence[str] | None = None) -> pa.Table:
        """All rows of one user, in no particular order, with all columns or some."""
        return self.shard.read(user, self.table, columns)

    def scan(self, user: UserKey, columns: Sequence[str], condition: str) -> Iterator[pa.Table]:
        """Some columns of rows that meet an SQL condition, and of all on their way, batch by batch."""
        return self.shard.scan(user, self.table, columns, condition)

    def append(self, user: UserKey, rows: Sequence[Row]) -> None:
        """Store rows; a crash may take them."""
        self.shard.append(user, self.table, rows, kept=False)


class Shard:
    """One folder of users, or one prefix of a bucket."""

    def __init__(
        self,
        objects: Objects,
        fence: Fence,
        tables: Mapping[str, LanceTable],
        writer: Writer,
        protection: Protection,
        text_encoder: TextEncoder,
        image_encoder: ImageEncoder,
        hot_turns: int,
    ) -> None:
        self._hot_turns, self._most_turns = hot_turns, hot_turns + hot_turns // 4
        self.objects, self.tables, self.writer = objects, tables, writer
        self._fence, self._protection = fence, protection
        self.media = MediaFolder(objects, protection)
        self.directory = Directory()
        for name, table in tables.items():
            self.directory.take_in(name, table.columns(columns_of(name)))
        for name, table in tables.items():
            waiting = [write for write in writer.unstored() if write.table == name]
            self.directory.take_in(name, self._rows(waiting, table.schema))
        self.text_encoder, self.image_encoder = text_encoder, image_encoder
        texts, images = vectors_name("texts", text_encoder), vectors_name("images", image_encoder)
        self.text_vectors = VectorTable(DerivedRows(self, texts), text_encoder)
        self.image_vectors = VectorTable(DerivedRows(self, images), image_encoder)

    @classmethod
    def open(
        cls,
        uri: str | Path,
        text_encoder: TextEncoder,
        image_encoder: ImageEncoder,
        settings: StorageSettings,
    ) -> Self:
        """Open or create every table, and become the shard's only writer.

        InUseError where another process has the folder open; UnsafeStorageError for an object store that
        ignores conditional writes; DamagedError where a table has no version that can be read.
        """
        objects = open_objects(uri, settings.options)
        if objects.size(UNFINISHED) is not None:
            raise DamagedError(f"a restore into {objects.uri} was not finished: empty it and restore again")
        folder = objects.root if isinstance(objects, LocalObjects) else None
        if folder is None:
            require_conditional_writes(objects)
        fence = Fence.take(objects)
        journal = None
        try:
            connection = connect(str(uri), dict(settings.options))
            schemas = schemas_with(text_encoder, image_encoder)
            journal = journal_of(folder, settings)
            first = journal.first_seq() if journal else None
            tables = {
                name: LanceTable.open(connection, name, schema, folder, first)
                for name, schema in schemas.items()
            }
            writer = writer_of(journal, settings, tables, fence)
        except BaseException:
            if journal:
                journal.close()
            fence.release()
            raise
        encoders = text_encoder, image_encoder
        return cls(objects, fence, tables, writer, settings.protection, *encoders, settings.hot_turns)

    @classmethod
    def read_only(
        cls,
        uri: str | Path,
        text_encoder: TextEncoder,
        image_encoder: ImageEncoder,
        settings: StorageSettings,
    ) -> Self:
        """Open a shard that nobody writes, together with other readers.

        InUseError where a writer has it open or left its journal unfinished; NotFoundError where none is.
        """
        objects = open_objects(uri, settings.options)
        try:
            fence = Fence.share(objects)
        except MissingError as error:
            raise NotFoundError(f"{objects.uri} holds no memory store") from error
        try:
            if isinstance(objects, LocalObjects):
                require_settled(objects.root)
            connection = connect(str(uri), dict(settings.options))
            tables = open_tables(connection, schemas_with(text_encoder, image_encoder))
        except BaseException:  # a signal too must let go of the lock; raised again
            fence.release()
            raise
        encoders = text_encoder, image_encoder
        writer = FrozenWriter()
        return cls(objects, fence, tables, writer, settings.protection, *encoders, settings.hot_turns)

    def close(self) -> None:
        """Move what is left into the tables, and let another process open the shard."""
        self.writer.close()
        self._fence.release()

    def check_writer(self) -> None:
        """LostEpochError when another process writes the shard now."""
        self._fence.check()

    def append(self, user: UserKey, table: str, rows: Sequence[Row], *, kept: bool = True) -> None:
        """Store the rows of one user, all or none. They are durable on return, derived data excepted."""
        self.write([self.prepared(user, table, rows, kept=kept)])

    def prepared(self, user: UserKey, table: str, rows: Sequence[Row], *, kept: bool = True) -> Write:
        """The rows of one user as a write. InvalidError: a text is not valid Unicode."""
        sealed = [self._protection.seal_row(table, row) for row in rows]
        write = Write.of(table, user, sealed, kept=kept)
        # Before it is written: should that raise after it took effect, the rows must not stay unseen.
        self.directory.add(user, table, rows)
        return write

    def write(self, writes: Sequence[Write]) -> None:
        """Store writes of several users together; on an error, any of them may be stored."""
        self.writer.write(writes)

    def read(self, user: UserKey, table: str, columns: Sequence[str] | None = None) -> pa.Table:
        """All rows of one user, in no particular order: those in the table and those on their way.

        ``columns`` beside which others may come; by default all.
        """
        if not self.directory.has(user, table):
            return self.tables[table].empty
        # The tail first: what moves from it into the table meanwhile is then seen twice, never not at all.
        tail = self.writer.tail(table, uid_of(user))
        wanted = (*columns, "epoch", "seq", "sealed") if columns else self.tables[table].schema.names
        stored = self._written_in_time(table, self.tables[table].read(uid_of(user), wanted))
        if tail:
            seen = set(stored["seq"].to_pylist())
            rows = self._rows([write for write in tail if write.seq not in seen], self.tables[table].schema)
            stored = pa.concat_tables([stored, rows.select(wanted)])
        if columns and stored["sealed"].null_count < len(stored):
            return self.read(user, table)  # an encrypted row opens as a whole
        return self._protection.open_table(table, stored)

    def scan(self, user: UserKey, table: str, columns: Sequence[str], condition: str) -> Iterator[pa.Table]:
        """Rows of one user that meet an SQL condition over clear columns, and all rows on their way, batch
        by batch: the clear columns and those named, all of them where none is. Some rows may come twice."""
        schema = self.tables[table].schema
        names = [
            name for name in schema.names if not columns or name in (*columns, "sealed") or name in CLEAR
        ]
        tail = self._rows(self.writer.tail(table, uid_of(user)), schema)
        if self.directory.has(user, table):
            own = f"uid = {quoted(uid_of(user))} AND ({condition})"
            for rows in self.tables[table].scan(own, names):
                yield self._protection.open_table(table, self._written_in_time(table, rows))
        yield self._protection.open_table(table, tail.select(names))

    def _rows(self, writes: Sequence[Write], schema: pa.Schema) -> pa.Table:
        return table_of(writes, self._fence.epoch, schema)

    def _written_in_time(self, table: str, rows: pa.Table) -> pa.Table:
        """Without what a writer committed after it had lost its epoch."""
        epochs, seqs = (rows[name].to_numpy() for name in ("epoch", "seq"))
        return rows.filter(pa.array(self._fence.valid(table, epochs, seqs)))

    def records(self, user: UserKey) -> WorkingSet:
        """All records of one user, every turn among them."""
        records = WorkingSet()
        self._fill(records, user, self.read(user, "turns"))
        return records

    def load(self, user: UserKey) -> UserState:
        """What is stored of one user; turns beyond the newest stay in the table.

        LostEpochError: the table may hold rows that this process committed too late. Who sent them again
        would be told that they are stored.
        """
        first_hot = max(self.directory.turns(user) - self._hot_turns, 0)
        if first_hot:
            rows = self._cold(user)
            cold = rows.listed(first_hot)
            records = WorkingSet(cold)
            self._fill(records, user, rows.since(first_hot))
            texts = self.text_vectors.read_without(user, cold.ids)
        else:
            records, texts = self.records(user), self.text_vectors.read(user)
        index = SearchIndex(self.text_encoder.dim, texts, self.image_vectors.read(user))
        self._fence.check()
        return UserState(records, index, self._most_turns)

    def _cold(self, user: UserKey) -> UserColdRows:
        return UserColdRows(
            lambda columns, condition: self.scan(user, "turns", columns, condition),
            lambda: self.text_vectors.scan(user),
        )

    def _fill(self, records: WorkingSet, user: UserKey, turns: pa.Table) -> None:
        records.load(
            turns,
            {kind: self.read(user, kind) for kind in MemoryKind},
            self.read(user, "profile"),
            self.read(user, "progress"),
            self.read(user, "links"),
        )

    def relearn(self, user: UserKey) -> None:
        """Know of a user what the tables hold of him, and no more. Nothing of his may be on its way."""
        self.directory.forget(user)
        for name, table in self.tables.items():
            own = table.find(f"uid = {quoted(uid_of(user))}", columns_of(name))
            self.directory.take_in(name, own)

    def maintain(self) -> None:
        """Join the fragments of tables where it is time to, sort those that have grown a lot.

        LostEpochError: files of versions that this process does not know would be taken for refuse.
        """
        self._fence.check()
        for table in self.tables.values():
            if table.mostly_unsorted():
                table.rewrite()
            elif table.fragmented():
                table.compact()

    def purge(self, conditions: Mapping[str, str]) -> dict[str, int]:
        """Remove rows for good, by SQL condition for each table; how many of each table.

        Everything written before must have been flushed. Afterwards no file holds anything of them.
        LostEpochError.
        """
        self._fence.check()
        removed = {}
        for name, condition in conditions.items():
            table = self.tables[name]
            if table.count(condition):
                removed[name] = table.rewrite(without=condition)
            else:  # an earlier attempt, or a write that was cut short, may have left files that have some
                table.forget_versions()
        self.writer.purge()
        return removed
