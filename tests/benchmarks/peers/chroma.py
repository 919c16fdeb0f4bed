"""Chroma with its default settings, persistent, the user as a metadata filter."""

import importlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from personavlm.memory_store.encoder import Vectors
from tests.benchmarks.peers.items import Item


class Chroma:
    """Approximate search (HNSW) under a filter."""

    def __init__(self, folder: Path, dim: int) -> None:
        settings = importlib.import_module("chromadb.config").Settings(anonymized_telemetry=False)
        self._client = importlib.import_module("chromadb").PersistentClient(str(folder), settings=settings)
        self._collection = self._client.create_collection(
            "memories", embedding_function=None, configuration={"hnsw": {"space": "cosine"}}
        )

    def add(self, item: Item) -> None:
        self.load([item])

    def load(self, items: Sequence[Item]) -> None:
        self._collection.add(
            ids=[item.id for item in items],
            embeddings=np.stack([item.vector for item in items]),
            documents=[f"{item.text}\n{item.reply}" for item in items],
            metadatas=[{"user": item.user} for item in items],
        )

    def settle(self) -> None:
        """Nothing to do."""

    def nearest(self, user: str, vector: Vectors, k: int) -> list[str]:
        found = self._collection.query(
            query_embeddings=vector[np.newaxis], n_results=k, where={"user": user}, include=[]
        )
        return list(found["ids"][0])

    def close(self) -> None:
        self._client.close()
