"""A write on its way into the tables, and the seam to whoever makes it durable."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import pyarrow as pa
from pydantic_core import from_json, to_json

from personavlm.memory_store.errors import InvalidError
from personavlm.memory_store.records import UserKey
from personavlm.memory_store.storage.tables import Row


@dataclass(slots=True, eq=False)
class Write:
    """Rows of one user for one table, to be stored all or none.

    ``kept`` is False for derived data, which a crash may take. ``seq`` is set once it has its place among
    the shard's writes; ``payload`` is what the journal holds of it.
    """

    table: str
    user: UserKey
    rows: Sequence[Row]
    kept: bool = True
    seq: int = 0
    payload: bytes = b""

    def place(self, epoch: int, seq: int) -> None:
        """Give the rows their place among the writes."""
        self.seq = seq
        for row in self.rows:
            row["epoch"], row["seq"] = epoch, seq


class Writer(Protocol):
    """Makes writes durable, in the order in which it takes them."""

    def write(self, write: Write) -> None:
        """Return once the write is durable. BusyError, LostEpochError, or what the storage raises."""
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
    """Rows as JSON; bytes in them as Base64. InvalidError where a text is not valid Unicode."""
    try:
        return to_json(rows, bytes_mode="base64")
    except ValueError as error:
        raise InvalidError("a text holds half of a surrogate pair and is not valid Unicode") from error


def rows_of(payload: bytes, schema: pa.Schema) -> list[Row]:
    """The rows that ``payload_of`` made this from. ValueError for anything else."""
    return [
        {name: _value(value, schema.field(name).type) for name, value in row.items()}
        for row in from_json(payload)
    ]


def _value(value: Any, type_: pa.DataType) -> Any:  # noqa: ANN401 - as wide as a column
    if value is None:
        return None
    if pa.types.is_timestamp(type_):
        return datetime.fromisoformat(value)
    if pa.types.is_binary(type_):
        return base64.urlsafe_b64decode(value)
    return value
