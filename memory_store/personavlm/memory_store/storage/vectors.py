"""Stored vectors of one encoder, in a table of their own: derived data that can be made again."""

import hashlib
from collections.abc import Sequence
from typing import Literal, Protocol

import numpy as np
import pyarrow as pa

from personavlm.memory_store.encoder import ImageEncoder, TextEncoder, Vectors, token_dim
from personavlm.memory_store.records import UserKey
from personavlm.memory_store.retrieval.index import StoredVector, StoredVectors, VectorKey
from personavlm.memory_store.retrieval.nearest import Near, nearest
from personavlm.memory_store.retrieval.tokens import PackedTokens
from personavlm.memory_store.storage.tables import TOKEN_COLUMNS, Row, owner_columns


class UserRows(Protocol):
    """One table of a shard, user by user."""

    def read(self, user: UserKey, columns: Sequence[str] | None = None) -> pa.Table:
        """All rows of one user, in no particular order, with all columns or some."""
        ...

    def append(self, user: UserKey, rows: Sequence[Row]) -> None:
        """Store rows of derived data: a crash may take them."""
        ...


def vectors_name(content: Literal["texts", "images"], encoder: TextEncoder | ImageEncoder) -> str:
    """The table of an encoder's vectors. Another model or dimension has another table."""
    described = f"{encoder.dim} {token_dim(encoder)} {encoder.model_id}"
    return f"vectors_of_{content}_{hashlib.sha256(described.encode()).hexdigest()[:16]}"


class VectorTable:
    """Vectors that one model made of texts or of images."""

    def __init__(self, table: UserRows, encoder: TextEncoder | ImageEncoder) -> None:
        self._table = table
        self._model_id, self._dim, self._token_dim = encoder.model_id, encoder.dim, token_dim(encoder)

    def read(self, user: UserKey) -> dict[VectorKey, StoredVector]:
        """All vectors of one user."""
        rows = self._table.read(user)
        if not rows.num_rows:
            return {}
        keys = zip(*(rows[name].to_pylist() for name in ("id", "field", "digest")), strict=True)
        vectors = rows["vector"].combine_chunks().flatten().to_numpy().astype(np.float32)
        tokens = zip(*(rows[name].to_pylist() for name in TOKEN_COLUMNS), strict=True)
        return {
            VectorKey(*key): StoredVector(vector, self._tokens(*packed))
            for key, vector, packed in zip(keys, vectors.reshape(-1, self._dim), tokens, strict=True)
        }

    def _tokens(
        self, ids: bytes | None, vectors: bytes | None, sentences: bytes | None
    ) -> PackedTokens | None:
        if ids is None or vectors is None or sentences is None:
            return None
        packed = np.frombuffer(vectors, np.int8).reshape(-1, self._token_dim)
        return PackedTokens(np.frombuffer(ids, np.int32), packed, np.frombuffer(sentences, np.int32))

    def nearest(self, user: UserKey, vector: Vectors, k: int) -> list[Near]:
        """The k rows whose vectors have the greatest cosine with a unit vector, best first."""
        rows = self._table.read(user, ("id", "field", "vector"))
        vectors = rows["vector"].combine_chunks().flatten().to_numpy().reshape(-1, self._dim)
        best = nearest(np.vecdot(vectors, vector), k)
        places = pa.array([position for position, _ in best], pa.int64())
        fields = rows.select(["id", "field"]).take(places).to_pylist()
        return [Near(row["id"], row["field"], cosine) for row, (_, cosine) in zip(fields, best, strict=True)]

    def save(self, user: UserKey, vectors: StoredVectors) -> None:
        """Store vectors of one user in one commit."""
        owner = owner_columns(user) | {"model_id": self._model_id}
        rows = [owner | _columns(key, stored) for key, stored in vectors.items()]
        if rows:
            self._table.append(user, rows)


def _columns(key: VectorKey, stored: StoredVector) -> Row:
    row: Row = {"id": key.id, "field": key.field, "digest": key.digest, "vector": stored.vector}
    if tokens := stored.tokens:
        packed = (tokens.ids.tobytes(), tokens.vectors.tobytes(), tokens.sentences.tobytes())
        row |= dict(zip(TOKEN_COLUMNS, packed, strict=True))
    return row
