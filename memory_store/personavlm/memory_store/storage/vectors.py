"""Stored vectors of one encoder, in a table of their own: derived data that can be made again."""

import hashlib
from collections.abc import Iterator, Sequence
from typing import Literal, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from personavlm.memory_store.encoder import ImageEncoder, TextEncoder, Vectors, token_dim
from personavlm.memory_store.records import UserKey
from personavlm.memory_store.retrieval.index import StoredVector, StoredVectors, VectorKey
from personavlm.memory_store.retrieval.nearest import Near, nearest
from personavlm.memory_store.retrieval.tokens import PackedTokens
from personavlm.memory_store.storage.sql import any_of
from personavlm.memory_store.storage.tables import TOKEN_COLUMNS, Row, owner_columns


class UserRows(Protocol):
    """One table of a shard, user by user."""

    def read(self, user: UserKey, columns: Sequence[str] | None = None) -> pa.Table:
        """All rows of one user, in no particular order, with all columns or some."""
        ...

    def scan(self, user: UserKey, columns: Sequence[str], condition: str) -> Iterator[pa.Table]:
        """Some columns of rows that meet an SQL condition, and of all on their way, batch by batch."""
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

    _columns = ("digest", "vector", *TOKEN_COLUMNS)

    def __init__(self, table: UserRows, encoder: TextEncoder | ImageEncoder) -> None:
        self._table = table
        self._model_id, self._dim, self._token_dim = encoder.model_id, encoder.dim, token_dim(encoder)

    def read(self, user: UserKey) -> dict[VectorKey, StoredVector]:
        """All vectors of one user."""
        return self._vectors(self._table.read(user))

    def read_of(self, user: UserKey, ids: Sequence[str]) -> dict[VectorKey, StoredVector]:
        """The vectors of a few records."""
        found: dict[VectorKey, StoredVector] = {}
        for rows in self._table.scan(user, self._columns, any_of("id", ids)):
            found |= self._vectors(rows.filter(pc.is_in(rows["id"], pa.array(ids, pa.string()))))
        return found

    def read_without(self, user: UserKey, ids: Sequence[str]) -> dict[VectorKey, StoredVector]:
        """The vectors of all but some records."""
        left_out, found = pa.array(ids, pa.string()), dict[VectorKey, StoredVector]()
        for rows in self._table.scan(user, self._columns, "true"):
            found |= self._vectors(rows.filter(pc.invert(pc.is_in(rows["id"], left_out))))
        return found

    def scan(self, user: UserKey) -> Iterator[tuple[list[str], list[str], Vectors]]:
        """Ids, fields and vectors ``(n, dim)``, batch by batch; some may come twice."""
        for rows in self._table.scan(user, ("vector",), "true"):
            if rows.num_rows:
                yield rows["id"].to_pylist(), rows["field"].to_pylist(), self._matrix(rows)

    def _matrix(self, rows: pa.Table) -> Vectors:
        flat = rows["vector"].combine_chunks().flatten().to_numpy()
        return np.asarray(flat.astype(np.float32, copy=False).reshape(-1, self._dim), np.float32)

    def _vectors(self, rows: pa.Table) -> dict[VectorKey, StoredVector]:
        if not rows.num_rows:
            return {}
        keys = zip(*(rows[name].to_pylist() for name in ("id", "field", "digest")), strict=True)
        tokens = zip(*(rows[name].to_pylist() for name in TOKEN_COLUMNS), strict=True)
        return {
            VectorKey(*key): StoredVector(vector, self._tokens(*packed))
            for key, vector, packed in zip(keys, self._matrix(rows), tokens, strict=True)
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
