"""mem0 without a language model (``infer=False``) and without a network: Chroma for its vectors, our vectors.

Its search is its whole search: it embeds the query, asks the vector store, scores and formats.
"""

import importlib
import os
from collections.abc import Sequence
from pathlib import Path

from personavlm.memory_store.encoder import Vectors
from tests.benchmarks.peers.items import Item


class GivenVectors:
    """What mem0 asks for embeddings: the vector that was put there for the text."""

    def __init__(self) -> None:
        self.vectors: dict[str, Vectors] = {}

    def embed(self, text: str, memory_action: str | None = None) -> list[float]:
        return [float(value) for value in self.vectors[text]]


class Mem0:
    """The text is stored under its user, the item's id as metadata."""

    def __init__(self, folder: Path, dim: int) -> None:
        # Read while mem0 is imported: no telemetry, and nothing in the home folder.
        os.environ["MEM0_TELEMETRY"], os.environ["MEM0_DIR"] = "False", str(folder)
        os.environ["ANONYMIZED_TELEMETRY"] = "False"
        no_network = {"provider": "openai", "config": {"api_key": "none"}}
        chroma = {"collection_name": "memories", "path": str(folder / "chroma")}
        self._memory = importlib.import_module("mem0").Memory.from_config(
            {
                "vector_store": {"provider": "chroma", "config": chroma},
                "llm": no_network,
                "embedder": no_network,
                "history_db_path": str(folder / "history.db"),
            }
        )
        self._given = GivenVectors()
        self._memory.embedding_model = self._given

    def add(self, item: Item) -> None:
        text = f"{item.text}\n{item.reply}"
        self._given.vectors = {text: item.vector}
        self._memory.add(text, user_id=item.user, metadata={"item": item.id}, infer=False)

    def load(self, items: Sequence[Item]) -> None:
        for item in items:
            self.add(item)

    def settle(self) -> None:
        """Nothing to do."""

    def nearest(self, user: str, vector: Vectors, k: int) -> list[str]:
        self._given.vectors = {"query": vector}
        found = self._memory.search("query", top_k=k, filters={"user_id": user}, threshold=0.0)
        return [result["metadata"]["item"] for result in found["results"]]

    def close(self) -> None:
        self._memory.close()
