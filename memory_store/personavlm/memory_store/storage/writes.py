"""A write on its way into the tables, and the seam to whoever makes it durable."""

import base64
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
import pyarrow as pa
from pyarrow import json
from pydantic_core import to_json

from personavlm.memory_store.errors import InvalidError
from personavlm.memory_store.records import UserKey
from personavlm.memory_store.storage.tables import Row, arrow_table, uid_of


@dataclass(slots=True, eq=False)
class Write:
    """``count`` rows of one user (``uid``) for one table, to be stored all or none.

    ``payload`` is what the journal holds of them, a line of JSON for each. Derived data, which a crash may
    take, stays as ``rows``. ``seq`` is set once it has its place among the shard's writes.
    """

    table: str
    uid: str
    count: int
    payload: bytes = b""
    rows: Sequence[Row] = ()
    seq: int = 0

    @classmethod
    def of(cls, table: str, user: UserKey, rows: Sequence[Row], *, kept: bool) -> Self:
        """A write of rows, which are to be kept or may be lost. InvalidError: a text is not valid Unicode."""
        if kept:
            return cls(table, uid_of(user), len(rows), payload_of(rows))
        return cls(table, uid_of(user), len(rows), rows=rows)

    @classmethod
    def again(cls, table: str, uid: str, payload: bytes, seq: int) -> Self:
        """A write as the journal has it."""
        return cls(table, uid, payload.count(b"\n"), payload, seq=seq)


class Writer(Protocol):
    """Makes writes durable, in the order in which it takes them."""

    def write(self, writes: Sequence[Write]) -> None:
        """Return once all of them are durable. BusyError, LostEpochError, or what the storage raises."""
        ...

    def tail(self, table: str, uid: str) -> Sequence[Write]:
        """This user's writes that may not be in the table yet, in order."""
        ...

    def unstored(self) -> Sequence[Write]:
        """All of it, in order."""
        ...

    def backlog(self) -> "Backlog":
        """How much is not in the tables yet."""
        ...

    def flush(self) -> None:
        """Return once everything written before is in the tables. What the storage raises."""
        ...

    def settled(self) -> AbstractContextManager[None]:
        """Flush, and keep what comes meanwhile out of the tables until the block ends: they hold whole
        writes, up to one of them."""
        ...

    def purge(self) -> None:
        """Leave no byte of what was flushed, except in the tables."""
        ...

    def close(self) -> None:
        """Flush if possible, and let go."""
        ...


@dataclass(frozen=True, slots=True)
class Backlog:
    """What is acknowledged and not yet in the tables. ``age_s`` is that of the oldest write."""

    rows: int = 0
    bytes: int = 0
    age_s: float = 0.0
    failure: str = ""


def payload_of(rows: Sequence[Row]) -> bytes:
    """A line of JSON for each row; bytes in them as Base64. InvalidError: a text is not valid Unicode."""
    try:
        return b"".join([to_json(row, bytes_mode="base64") + b"\n" for row in rows])
    except ValueError as error:
        raise InvalidError("a text holds half of a surrogate pair and is not valid Unicode") from error


def table_of(writes: Sequence[Write], epoch: int, schema: pa.Schema) -> pa.Table:
    """The rows of some writes to one table, with their places. All of a table are kept, or all derived.

    Arrow reads JSON several times faster than Python's objects, and without holding up other threads.
    pa.ArrowInvalid for a payload that is no such JSON.
    """
    seqs = np.repeat(np.array([write.seq for write in writes], np.int64), [write.count for write in writes])
    place = {"epoch": pa.array(np.full(len(seqs), epoch)), "seq": pa.array(seqs)}
    if writes and writes[0].payload:
        table = _read(b"".join(write.payload for write in writes), schema)
        place["sealed"] = _bytes_of(table)
    else:
        table = arrow_table([row for write in writes for row in write.rows], schema)
    return pa.table([place.get(name, table[name]) for name in schema.names], schema=schema)


def _read(lines: bytes, schema: pa.Schema) -> pa.Table:
    return json.read_json(
        pa.BufferReader(lines),
        read_options=json.ReadOptions(use_threads=False, block_size=len(lines) + 1),
        parse_options=json.ParseOptions(
            explicit_schema=_as_in_json(schema), unexpected_field_behavior="error"
        ),
    )


def _as_in_json(schema: pa.Schema) -> pa.Schema:
    return schema.set(schema.get_field_index("sealed"), pa.field("sealed", pa.string()))


def _bytes_of(table: pa.Table) -> pa.Array:
    coded = table["sealed"]
    if coded.null_count == len(coded):
        return pa.nulls(len(coded), pa.binary())
    opened = [None if code is None else base64.urlsafe_b64decode(code) for code in coded.to_pylist()]
    return pa.array(opened, pa.binary())
