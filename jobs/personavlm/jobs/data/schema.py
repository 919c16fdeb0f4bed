"""The columns of our Parquet files, and rows to and from Arrow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from personavlm.jobs.data.rows import ConversationRow, QuestionRow, Row

IMAGES = pa.list_(
    pa.field("item", pa.struct([("path", pa.string()), ("data", pa.binary()), ("at", pa.int64())]))
)
TURN = pa.struct(
    [("role", pa.string()), ("text", pa.string()), ("images", IMAGES), ("train", pa.bool_())],
)
CONVERSATIONS = pa.schema(
    [
        ("id", pa.string()),
        ("source", pa.string()),
        ("kind", pa.string()),
        ("turns", pa.list_(TURN)),
    ]
)
QUESTIONS = pa.schema(
    [
        ("id", pa.string()),
        ("source", pa.string()),
        ("kind", pa.string()),
        ("prompt", pa.string()),
        ("gold", pa.string()),
        ("options", pa.list_(pa.string())),
        ("evidence", pa.list_(pa.string())),
        ("images", IMAGES),
        ("user", pa.string()),
        ("asked_at", pa.timestamp("us", tz="UTC")),
        ("utc_offset_minutes", pa.int64()),
    ]
)
SCHEMAS: dict[type[Row], pa.Schema] = {ConversationRow: CONVERSATIONS, QuestionRow: QUESTIONS}


def to_arrow(rows: Sequence[Row], schema: pa.Schema) -> pa.RecordBatch:
    """Rows of one kind as a batch of its schema."""
    return pa.RecordBatch.from_pylist([row.model_dump() for row in rows], schema=schema)


def row_type(columns: Sequence[str]) -> type[Row] | None:
    """What a file with these columns holds; ``None`` where it is neither."""
    return ConversationRow if "turns" in columns else QuestionRow if "prompt" in columns else None


def from_arrow(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    """The rows of a batch as plain values, not yet checked."""
    rows: list[dict[str, Any]] = batch.to_pylist()
    return rows
