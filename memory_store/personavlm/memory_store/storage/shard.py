"""The tables and media of one folder, and how a user's state is loaded from them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import pyarrow as pa

from personavlm.memory_store.cache import UserState
from personavlm.memory_store.encoder import ImageEncoder, TextEncoder
from personavlm.memory_store.records import MemoryKind, UserKey
from personavlm.memory_store.retrieval.index import SearchIndex
from personavlm.memory_store.storage.lance import LanceTable, connect
from personavlm.memory_store.storage.media import MediaFolder
from personavlm.memory_store.storage.tables import MEMORIES, PROFILE, PROGRESS, TURNS
from personavlm.memory_store.storage.vectors import VectorTable
from personavlm.memory_store.working_set import WorkingSet


@dataclass(frozen=True, slots=True)
class Shard:
    """One folder of users. ``tables`` are the records by name, vectors stand beside them."""

    tables: dict[str, LanceTable]
    text_vectors: VectorTable
    image_vectors: VectorTable
    media: MediaFolder
    text_encoder: TextEncoder
    image_encoder: ImageEncoder

    @classmethod
    def open(cls, folder: Path, text_encoder: TextEncoder, image_encoder: ImageEncoder) -> Self:
        """Open or create every table."""
        folder.mkdir(parents=True, exist_ok=True)
        connection = connect(folder)
        schemas: dict[str, pa.Schema] = {"turns": TURNS, **MEMORIES, "profile": PROFILE, "progress": PROGRESS}
        return cls(
            tables={
                name: LanceTable.open(connection, folder, name, schema) for name, schema in schemas.items()
            },
            text_vectors=VectorTable(connection, folder, "texts", text_encoder),
            image_vectors=VectorTable(connection, folder, "images", image_encoder),
            media=MediaFolder(folder / "media"),
            text_encoder=text_encoder,
            image_encoder=image_encoder,
        )

    def load(self, user: UserKey) -> UserState:
        """Everything stored of one user."""
        records = WorkingSet()
        records.load(
            self.tables["turns"].read(user),
            {kind: self.tables[kind].read(user) for kind in MemoryKind},
            self.tables["profile"].read(user),
            self.tables["progress"].read(user),
        )
        vectors = self.text_vectors.read(user), self.image_vectors.read(user)
        return UserState(records, SearchIndex(self.text_encoder.dim, *vectors))

    def users(self) -> tuple[UserKey, ...]:
        """Everyone who has a row in a table of records, in order of tenant and name."""
        everyone = frozenset[UserKey]().union(*(table.owners for table in self.tables.values()))
        return tuple(sorted(everyone, key=lambda user: (user.tenant, user.user)))

    def compact(self) -> None:
        """Compact every table that has come to many pieces."""
        for table in (*self.tables.values(), self.text_vectors.table, self.image_vectors.table):
            table.compact()
