"""FAISS: one flat inner-product index per user, in memory. The floor for exact search; stores nothing."""

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from personavlm.memory_store.encoder import Vectors
from tests.benchmarks.peers.items import Item


class FaissFlat:
    """On one thread, as every side here: a hundred vectors are no work for two."""

    def __init__(self, folder: Path, dim: int) -> None:
        self._faiss = importlib.import_module("faiss")
        self._faiss.omp_set_num_threads(1)
        self._dim = dim
        self._users: dict[str, tuple[Any, list[str]]] = {}

    def add(self, item: Item) -> None:
        self.load([item])

    def load(self, items: Sequence[Item]) -> None:
        for item in items:
            if item.user not in self._users:
                self._users[item.user] = self._faiss.IndexFlatIP(self._dim), []
            index, ids = self._users[item.user]
            index.add(item.vector[np.newaxis])
            ids.append(item.id)

    def settle(self) -> None:
        """Nothing to do."""

    def nearest(self, user: str, vector: Vectors, k: int) -> list[str]:
        index, ids = self._users[user]
        _, places = index.search(vector[np.newaxis], min(k, len(ids)))
        return [ids[place] for place in places[0]]

    def close(self) -> None:
        self._users.clear()
