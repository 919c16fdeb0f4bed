"""Stored vectors of one encoder, in a table of their own: derived data that can be made again."""

import hashlib
from pathlib import Path
from typing import Any, Literal

import numpy as np

from personavlm.memory_store.encoder import ImageEncoder, TextEncoder, Vectors
from personavlm.memory_store.records import UserKey
from personavlm.memory_store.retrieval.index import StoredVectors, VectorKey
from personavlm.memory_store.storage.lance import LanceTable
from personavlm.memory_store.storage.tables import owner_columns, vectors_schema


class VectorTable:
    """Vectors that one model made of texts or of images. Another model or dimension has another table."""

    def __init__(
        self,
        connection: Any,  # noqa: ANN401 - lancedb has no types
        folder: Path,
        content: Literal["texts", "images"],
        encoder: TextEncoder | ImageEncoder,
    ) -> None:
        self._model_id, self._dim = encoder.model_id, encoder.dim
        digest = hashlib.sha256(f"{self._dim} {self._model_id}".encode()).hexdigest()
        schema = vectors_schema(self._dim)
        self.table = LanceTable.open(connection, folder, f"vectors_of_{content}_{digest[:16]}", schema)

    def read(self, user: UserKey) -> dict[VectorKey, Vectors]:
        """All vectors of one user, each ``(dim,)``."""
        rows = self.table.read(user)
        if not rows.num_rows:
            return {}
        keys = zip(*(rows[name].to_pylist() for name in ("id", "field", "digest")), strict=True)
        values = rows["vector"].combine_chunks().flatten().to_numpy().astype(np.float32)
        return {VectorKey(*key): values[i * self._dim : (i + 1) * self._dim] for i, key in enumerate(keys)}

    def save(self, user: UserKey, vectors: StoredVectors) -> None:
        """Store vectors of one user in one commit."""
        owner = owner_columns(user) | {"model_id": self._model_id}
        rows = [
            {**owner, "id": key.id, "field": key.field, "digest": key.digest, "vector": vector.tolist()}
            for key, vector in vectors.items()
        ]
        if rows:
            self.table.append(user, rows)
