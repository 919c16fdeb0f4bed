"""What a shard consists of: the schemas of its tables, its journal, and who writes it."""

from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa

from personavlm.memory_store.encoder import ImageEncoder, TextEncoder
from personavlm.memory_store.storage.commit_writer import CommitWriter
from personavlm.memory_store.storage.fence import Fence
from personavlm.memory_store.storage.journal import Journal
from personavlm.memory_store.storage.journal_writer import JournalWriter
from personavlm.memory_store.storage.lance import LanceTable
from personavlm.memory_store.storage.settings import StorageSettings
from personavlm.memory_store.storage.tables import RECORDS, vectors_schema
from personavlm.memory_store.storage.vectors import vectors_name
from personavlm.memory_store.storage.writes import Writer


def schemas_with(text_encoder: TextEncoder, image_encoder: ImageEncoder) -> dict[str, pa.Schema]:
    """The tables of a shard, those of these encoders' vectors among them."""
    return dict(RECORDS) | {
        vectors_name("texts", text_encoder): vectors_schema(text_encoder.dim),
        vectors_name("images", image_encoder): vectors_schema(image_encoder.dim),
    }


def journal_of(folder: Path | None, settings: StorageSettings) -> Journal | None:
    """The one to write, or one from before durability was set to commit."""
    if folder is None:
        if settings.durability == "journal":
            raise ValueError("durability 'journal' needs a local folder; use 'commit' for object storage")
        return None
    path = folder / "journal.sqlite"
    return Journal.open(path) if settings.durability == "journal" or path.exists() else None


def writer_of(
    journal: Journal | None, settings: StorageSettings, tables: Mapping[str, LanceTable], fence: Fence
) -> Writer:
    """By the journal, or by LanceDB's commits once what an earlier journal holds is in the tables."""
    stored = {name: table.last_seq() for name, table in tables.items()}
    if journal and settings.durability == "journal":
        return JournalWriter(journal, tables, stored, fence, settings.tail_rows)
    if journal:
        earlier = JournalWriter(journal, tables, stored, fence, settings.tail_rows)
        try:
            earlier.flush()  # or fail: what stayed in the journal nobody would read again
        finally:
            earlier.close()
        stored = {name: table.last_seq() for name, table in tables.items()}
    fence.record({name: seq + 1 for name, seq in stored.items()})
    return CommitWriter(tables, stored, fence)
