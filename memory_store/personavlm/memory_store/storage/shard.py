"""The tables, journal and media of one shard, and how a user's state is loaded from them."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

import pyarrow as pa
import pyarrow.compute as pc

from personavlm.memory_store.cache import UserState
from personavlm.memory_store.encoder import ImageEncoder, TextEncoder
from personavlm.memory_store.records import MemoryKind, UserKey
from personavlm.memory_store.retrieval.index import SearchIndex
from personavlm.memory_store.storage.direct_writer import DirectWriter
from personavlm.memory_store.storage.directory import Directory, columns_of
from personavlm.memory_store.storage.lance import LanceTable, connect
from personavlm.memory_store.storage.media import MediaFolder
from personavlm.memory_store.storage.tables import RECORDS, Row, arrow_table, uid_of, vectors_schema
from personavlm.memory_store.storage.vectors import VectorTable, vectors_name
from personavlm.memory_store.storage.writes import Write, Writer
from personavlm.memory_store.working_set import WorkingSet

logger = logging.getLogger(__name__)

Durability = Literal["journal", "commit"]


@dataclass(frozen=True, slots=True)
class DerivedRows:
    """One table of derived data, user by user."""

    shard: "Shard"
    table: str

    def read(self, user: UserKey) -> pa.Table:
        """All rows of one user, in no particular order."""
        return self.shard.read(user, self.table)

    def append(self, user: UserKey, rows: Sequence[Row]) -> None:
        """Store rows; a crash may take them."""
        self.shard.append(user, self.table, rows, kept=False)


class Shard:
    """One folder of users, or one prefix of a bucket."""

    def __init__(
        self,
        tables: Mapping[str, LanceTable],
        writer: Writer,
        directory: Directory,
        media: MediaFolder,
        text_encoder: TextEncoder,
        image_encoder: ImageEncoder,
    ) -> None:
        self.tables, self.writer, self.directory = tables, writer, directory
        self.media = media
        self.text_encoder, self.image_encoder = text_encoder, image_encoder
        texts, images = vectors_name("texts", text_encoder), vectors_name("images", image_encoder)
        self.text_vectors = VectorTable(DerivedRows(self, texts), text_encoder)
        self.image_vectors = VectorTable(DerivedRows(self, images), image_encoder)

    @classmethod
    def open(cls, uri: str, text_encoder: TextEncoder, image_encoder: ImageEncoder) -> Self:
        """Open or create every table."""
        folder = Path(uri)
        folder.mkdir(parents=True, exist_ok=True)
        connection = connect(uri)
        schemas = dict(RECORDS)
        schemas[vectors_name("texts", text_encoder)] = vectors_schema(text_encoder.dim)
        schemas[vectors_name("images", image_encoder)] = vectors_schema(image_encoder.dim)
        tables = {name: LanceTable.open(connection, name, schema, folder) for name, schema in schemas.items()}
        directory = Directory()
        for name, table in tables.items():
            directory.take_in(name, table.columns(columns_of(name)))
        media = MediaFolder(folder / "media")
        return cls(tables, DirectWriter(tables), directory, media, text_encoder, image_encoder)

    def append(self, user: UserKey, table: str, rows: Sequence[Row], *, kept: bool = True) -> None:
        """Store the rows of one user, all or none. They are durable on return, derived data excepted."""
        # Before the write: should it raise after it took effect, the rows must not stay unseen.
        self.directory.add(user, table, rows)
        self.writer.write(Write(table, user, rows, kept))

    def read(self, user: UserKey, table: str) -> pa.Table:
        """All rows of one user, in no particular order: those in the table and those on their way."""
        schema = self.tables[table].schema
        if not self.directory.has(user, table):
            return schema.empty_table()
        # The tail first: what moves from it into the table meanwhile is then seen twice, never not at all.
        tail = self.writer.tail(table, uid_of(user))
        stored = self.tables[table].read(uid_of(user))
        if not tail:
            return stored
        seen = set(stored["seq"].to_pylist())
        rows = [row for write in tail if write.seq not in seen for row in write.rows]
        return pa.concat_tables([stored, arrow_table(rows, schema)])

    def load(self, user: UserKey) -> UserState:
        """Everything stored of one user."""
        records = WorkingSet()
        records.load(
            self.read(user, "turns"),
            {kind: self.read(user, kind) for kind in MemoryKind},
            self.read(user, "profile"),
            self.read(user, "progress"),
        )
        vectors = self.text_vectors.read(user), self.image_vectors.read(user)
        return UserState(records, SearchIndex(self.text_encoder.dim, *vectors))

    def compact(self) -> None:
        """Compact every table that has come to many pieces."""
        for table in self.tables.values():
            if table.fragments() >= 32:
                table.compact()
