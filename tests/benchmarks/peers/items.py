"""What every engine under comparison stores and answers: the same texts and vectors, the same calls."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from personavlm.memory_store.encoder import Vectors


@dataclass(frozen=True, slots=True)
class Item:
    """One memory of one user: what was said, what was replied, and the ``(dim,)`` unit vector of it."""

    id: str
    user: str
    text: str
    reply: str
    vector: Vectors


class Peer(Protocol):
    """An engine. Ids are the items' own."""

    def add(self, item: Item) -> None:
        """Store one item as durably as the engine can, and return once it is."""
        ...

    def load(self, items: Sequence[Item]) -> None:
        """Store many items of one user the fastest way."""
        ...

    def settle(self) -> None:
        """Do what the engine's manual asks for after a bulk load (indexes, compaction, statistics)."""
        ...

    def nearest(self, user: str, vector: Vectors, k: int) -> list[str]:
        """Ids of the user's ``k`` items with the greatest cosine, the best first."""
        ...

    def close(self) -> None:
        """Let go of files, threads and processes."""
        ...
