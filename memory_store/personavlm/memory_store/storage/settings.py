"""How a shard is stored."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from personavlm.memory_store.storage.journal_writer import TAIL_ROWS
from personavlm.memory_store.storage.sealing import InTheClear, Protection

HOT_TURNS = 20_000  # at about 6 kB each with their vectors

Durability = Literal["journal", "commit"]


@dataclass(frozen=True, slots=True)
class StorageSettings:
    """How a shard is stored. ``options`` are LanceDB's ``storage_options`` for a bucket. ``protection``
    is encryption at rest. Of each user the newest ``hot_turns`` turns are held in memory.

    ``journal`` promises that what was acknowledged outlives the process and a loss of power, on a local
    disk. ``commit`` promises what the storage promises for a finished LanceDB commit: on object storage,
    that it outlives the machine.
    """

    durability: Durability = "journal"
    options: Mapping[str, str] = field(default_factory=dict)
    tail_rows: int = TAIL_ROWS
    protection: Protection = InTheClear()
    hot_turns: int = HOT_TURNS
