"""Arrow schemas of the tables, and the way between rows and records.

Column names are the records' field names. Every row also says whose it is (``uid`` joins tenant and user
for filters, both stand beside it) and who wrote it when: ``epoch`` numbers the shard's writers, ``seq`` its
writes; all rows of one write share a ``seq``. ``sealed`` holds the encrypted content of a row, if it is.

What users and assistants said, and what was remembered of it, stands in the files byte for byte, so that a
search can tell whether an erasure left any of it: without ``_AS_WRITTEN`` LanceDB compresses all but small
tables. A table that an earlier version of this program made goes on as it was: in a bucket for good, in a
folder until all its rows are written anew (``LanceTable.rewrite``), which every erasure from it does.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields
from datetime import UTC, datetime
from operator import attrgetter
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa

from personavlm.memory_store.errors import InvalidError
from personavlm.memory_store.records import (
    AnyMemory,
    CoreMemory,
    Crop,
    EpisodeLink,
    EpisodicMemory,
    ImageRef,
    MediaRef,
    MemoryKind,
    ProceduralMemory,
    Profile,
    Progress,
    SemanticMemory,
    Turn,
    UserKey,
)

Row = dict[str, Any]
Reference = ImageRef | Crop | MediaRef
Record = Turn | AnyMemory | Profile | EpisodeLink | Progress
AnyRecord = TypeVar("AnyRecord", bound=Record)

_TIME = pa.timestamp("us", tz="UTC")
_AS_WRITTEN = {
    "lance-encoding:compression": "none",  # FSST among others
    "lance-encoding:dict-values-compression": "none",  # of a column with many equal texts; LZ4 otherwise
}
_SAID = frozenset(("user_text", "assistant_text", "thinking", "text", "reason", "key"))
_IDS = pa.list_(pa.string())
_TEXTS = pa.list_(pa.field("item", pa.string(), metadata=_AS_WRITTEN))
_IMAGES = pa.list_(
    pa.struct(
        [
            pa.field("sha256", pa.string()),
            pa.field("media_type", pa.string()),
            pa.field("width", pa.int32()),
            pa.field("height", pa.int32()),
            pa.field("caption", pa.string(), metadata=_AS_WRITTEN),
        ]
    )
)
_CROPS = pa.list_(
    pa.struct(
        [
            pa.field("sha256", pa.string()),
            pa.field("source", pa.string()),
            pa.field("box", pa.list_(pa.int32())),
        ]
    )
)
_MEDIA = pa.list_(
    pa.struct(
        [
            pa.field("sha256", pa.string()),
            pa.field("media_type", pa.string()),
            pa.field("seconds", pa.float64()),
        ]
    )
)
_OWNER = {
    "uid": pa.string(),
    "tenant": pa.string(),
    "user": pa.string(),
    "epoch": pa.int64(),
    "seq": pa.int64(),
    "sealed": pa.binary(),
}
_MEMORY = {
    **_OWNER,
    "sequence": pa.int64(),  # counts this user's rows in this table: the order of writing
    "id": pa.string(),
    "version": pa.int32(),
    "text": pa.string(),
    "event_time": _TIME,
    "revised_at": _TIME,
    "recorded_at": _TIME,
    "valid_to": _TIME,
    "superseded_by": pa.string(),
    "deleted": pa.bool_(),
    "evidence": _IDS,
    "reason": pa.string(),
    "source": pa.string(),
}


def _schema(columns: Mapping[str, pa.DataType]) -> pa.Schema:
    return pa.schema(
        [
            pa.field(name, type_, metadata=_AS_WRITTEN if name in _SAID else None)
            for name, type_ in columns.items()
        ]
    )


TURNS = _schema(
    {
        **_OWNER,
        "id": pa.string(),
        "index": pa.int64(),
        "session": pa.string(),
        "event_time": _TIME,
        "recorded_at": _TIME,
        "user_text": pa.string(),
        "assistant_text": pa.string(),
        "images": _IMAGES,
        "thinking": pa.string(),
        "model": pa.string(),
        "client_id": pa.string(),
        "utc_offset_minutes": pa.int32(),
        "attachments": _MEDIA,
    }
)
MEMORIES: dict[str, pa.Schema] = {
    MemoryKind.CORE: _schema({**_MEMORY, "block": pa.string(), "key": pa.string()}),
    MemoryKind.SEMANTIC: _schema(
        {
            **_MEMORY,
            "category": pa.string(),
            "keywords": _TEXTS,
            "images": _IMAGES,
            "crops": _CROPS,
        }
    ),
    MemoryKind.EPISODIC: _schema({**_MEMORY, "keywords": _TEXTS, "session": pa.string(), "end_time": _TIME}),
    MemoryKind.PROCEDURAL: _schema({**_MEMORY, "key": pa.string()}),
}
PROFILE = pa.schema(
    {
        **_OWNER,
        "version": pa.int32(),
        "traits": pa.list_(pa.float64()),
        "consent": pa.bool_(),
        "cause": pa.string(),
        "inferred": pa.list_(pa.int8()),
        "smoothing": pa.float64(),
        "evidence": _IDS,
        "source": pa.string(),
        "event_time": _TIME,
        "recorded_at": _TIME,
    }
)
PROGRESS = pa.schema({**_OWNER, "sequence": pa.int64(), "turns": pa.int64(), "consolidated": pa.int64()})

NO_MEMORY = ""
"""The id in a row that says only that its source was applied and wrote nothing."""

LINKS = pa.schema(
    {
        **_OWNER,
        "episode": pa.string(),
        "related": pa.string(),
        "shared": _TEXTS,
        "score": pa.float64(),
        "source": pa.string(),
        "event_time": _TIME,
        "recorded_at": _TIME,
    }
)

RECORDS: dict[str, pa.Schema] = {
    "turns": TURNS,
    **MEMORIES,
    "profile": PROFILE,
    "progress": PROGRESS,
    "links": LINKS,
}
"""The tables of records. Vectors stand in tables of their own, one for each encoder."""

_BESIDE_RECORD = (*_OWNER, "sequence")

REFERENCES: Mapping[str, Callable[..., Reference]] = {
    "images": ImageRef,
    "crops": Crop,
    "attachments": MediaRef,
}
"""Columns that hold lists of records, and of which."""


TOKEN_COLUMNS = ("token_ids", "token_vectors", "sentences")


def vectors_schema(dim: int) -> pa.Schema:
    """Vectors of one encoder. ``digest`` is that of the encoded content: a vector of an earlier text
    under the same id and field is never taken for the present one's. The tokens of a text, where there
    are any, are bytes: int32, int8 and int32, as ``PackedTokens`` has them."""
    columns = dict.fromkeys(("id", "field", "digest", "model_id"), pa.string())
    vectors = {"vector": pa.list_(pa.float32(), dim), **dict.fromkeys(TOKEN_COLUMNS, pa.binary())}
    return pa.schema({**_OWNER, **columns, **vectors})


def uid_of(user: UserKey) -> str:
    """One string per user. The tenant's length goes first, so no two pairs give the same string."""
    return f"{len(user.tenant)}:{user.tenant}{user.user}"


def owner_columns(user: UserKey) -> Row:
    """The columns that say whose row it is."""
    return {"uid": uid_of(user), "tenant": user.tenant, "user": user.user}


def row_of(user: UserKey, record: Record) -> Row:
    """The record as a row of ``user``."""
    names, values = _FIELDS[type(record)]
    row: Row = dict(zip(names, values(record), strict=True))
    row["uid"], row["tenant"], row["user"] = uid_of(user), user.tenant, user.user
    for name in REFERENCES:
        if row.get(name):
            row[name] = [asdict(reference) for reference in row[name]]
    return row


def _fields_of(record: type[Record]) -> tuple[tuple[str, ...], Callable[[Record], tuple[Any, ...]]]:
    names = tuple(field.name for field in fields(record))
    return names, attrgetter(*names)


_FIELDS = {
    record: _fields_of(record)
    for record in (
        Turn,
        CoreMemory,
        SemanticMemory,
        EpisodicMemory,
        ProceduralMemory,
        Profile,
        EpisodeLink,
        Progress,
    )
}


def memory_rows(user: UserKey, source: str, versions: Sequence[AnyMemory], first: int) -> list[Row]:
    """The rows of one step, numbered from ``first``; one mark where the step writes nothing."""
    mark = {**owner_columns(user), "id": NO_MEMORY, "source": source, "sequence": first}
    rows = [row_of(user, memory) | {"sequence": first + number} for number, memory in enumerate(versions)]
    return rows or [mark]


def record_of(type_: type[AnyRecord], row: Mapping[str, Any]) -> AnyRecord:
    """The record that ``row_of`` made this row from; columns beside the record are left out."""
    values = {name: _field(name, value) for name, value in row.items() if name not in _BESIDE_RECORD}
    return type_(**values)


def _field(name: str, value: Any) -> Any:  # noqa: ANN401 - as wide as a column
    if isinstance(value, datetime):
        return value.astimezone(UTC)
    if isinstance(value, list):
        reference = REFERENCES.get(name)
        return tuple(_reference(reference, item) for item in value) if reference else tuple(value)
    return value


def _reference(type_: Callable[..., Reference], item: Mapping[str, Any]) -> Reference:
    return type_(**{name: tuple(value) if isinstance(value, list) else value for name, value in item.items()})


def arrow_table(rows: Sequence[Row], schema: pa.Schema) -> pa.Table:
    """Rows as an Arrow table, null where a row lacks a column.

    InvalidError where a text is not valid Unicode (a lone surrogate).
    """
    try:
        columns = [_column([row.get(field.name) for row in rows], field.type) for field in schema]
    except UnicodeEncodeError as error:
        raise InvalidError("a text holds half of a surrogate pair and is not valid Unicode") from error
    return pa.table(columns, schema=schema)


def _column(values: list[Any], type_: pa.DataType) -> pa.Array:
    if (
        pa.types.is_fixed_size_list(type_)
        and values
        and all(isinstance(value, np.ndarray) for value in values)
    ):
        return pa.FixedSizeListArray.from_arrays(np.concatenate(values), type=type_)
    return pa.array(values, type_)
