"""LanceDB as it comes: one table, a BTREE index on the user, exact search after the filter."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import lancedb
import numpy as np
import pyarrow as pa
from lancedb.index import BTree

from personavlm.memory_store.encoder import Vectors
from tests.benchmarks.peers.items import Item

LOADED_AT_ONCE = 20_000


class RawLanceDb:
    """A commit is in the page cache when it returns, not on the disk."""

    def __init__(self, folder: Path, dim: int) -> None:
        texts = dict.fromkeys(("id", "user", "text", "reply"), pa.string())
        self._schema = pa.schema({**texts, "vector": pa.list_(pa.float32(), dim)})
        self._table = lancedb.connect(str(folder)).create_table("memories", schema=self._schema)
        self._table.create_index("user", config=BTree())
        self._waiting: list[Item] = []

    def add(self, item: Item) -> None:
        self._commit([item])

    def load(self, items: Sequence[Item]) -> None:
        self._waiting += items
        if len(self._waiting) >= LOADED_AT_ONCE:
            self._commit(self._waiting)
            self._waiting = []

    def _commit(self, items: Sequence[Item]) -> None:
        texts = [pa.array([getattr(item, name) for item in items]) for name in self._schema.names[:-1]]
        vectors = pa.FixedSizeListArray.from_arrays(
            np.concatenate([item.vector for item in items]), type=self._schema.field("vector").type
        )
        self._table.add(pa.table([*texts, vectors], schema=self._schema))

    def settle(self) -> None:
        if self._waiting:
            self._commit(self._waiting)
            self._waiting = []
        self._table.optimize(cleanup_older_than=timedelta(0), delete_unverified=True)

    def nearest(self, user: str, vector: Vectors, k: int) -> list[str]:
        found = (
            self._table.search(vector)
            .distance_type("dot")
            .where(f"user = '{user}'", prefilter=True)
            .select(["id", "_distance"])
            .limit(k)
            .to_arrow()
        )
        return list(found["id"].to_pylist())

    def close(self) -> None:
        """Nothing to let go of."""
