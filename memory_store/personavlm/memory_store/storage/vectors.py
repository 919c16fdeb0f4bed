"""Stored vectors of one encoder, in a table of their own: derived data that can be made again."""

import hashlib
from collections.abc import Sequence
from typing import Literal, Protocol

import numpy as np
import pyarrow as pa

from personavlm.memory_store.encoder import ImageEncoder, TextEncoder, Vectors
from personavlm.memory_store.records import UserKey
from personavlm.memory_store.retrieval.index import StoredVectors, VectorKey
from personavlm.memory_store.storage.tables import Row, owner_columns


class UserRows(Protocol):
    """One table of a shard, user by user."""

    def read(self, user: UserKey) -> pa.Table:
        """All rows of one user, in no particular order."""
        ...

    def append(self, user: UserKey, rows: Sequence[Row]) -> None:
        """Store rows of derived data: a crash may take them."""
        ...


def vectors_name(content: Literal["texts", "images"], encoder: TextEncoder | ImageEncoder) -> str:
    """The table of an encoder's vectors. Another model or dimension has another table."""
    digest = hashlib.sha256(f"{encoder.dim} {encoder.model_id}".encode()).hexdigest()
    return f"vectors_of_{content}_{digest[:16]}"


class VectorTable:
    """Vectors that one model made of texts or of images."""

    def __init__(self, table: UserRows, encoder: TextEncoder | ImageEncoder) -> None:
        self._table = table
        self._model_id, self._dim = encoder.model_id, encoder.dim

    def read(self, user: UserKey) -> dict[VectorKey, Vectors]:
        """All vectors of one user, each ``(dim,)``."""
        rows = self._table.read(user)
        if not rows.num_rows:
            return {}
        keys = zip(*(rows[name].to_pylist() for name in ("id", "field", "digest")), strict=True)
        values = rows["vector"].combine_chunks().flatten().to_numpy().astype(np.float32)
        return {VectorKey(*key): values[i * self._dim : (i + 1) * self._dim] for i, key in enumerate(keys)}

    def save(self, user: UserKey, vectors: StoredVectors) -> None:
        """Store vectors of one user in one commit."""
        owner = owner_columns(user) | {"model_id": self._model_id}
        rows = [
            {**owner, "id": key.id, "field": key.field, "digest": key.digest, "vector": vector}
            for key, vector in vectors.items()
        ]
        if rows:
            self._table.append(user, rows)
