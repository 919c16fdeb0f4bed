"""Sealed rows: whole again when opened, of no use anywhere else, and silent about their content."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from personavlm.memory_store.errors import InvalidError
from personavlm.memory_store.records import MemoryKind
from personavlm.memory_store.storage.directory import columns_of
from personavlm.memory_store.storage.lance import connect
from personavlm.memory_store.storage.sealing import (
    CLEAR,
    InTheClear,
    Sealer,
    UnreadableError,
)
from personavlm.memory_store.storage.tables import Row, arrow_table, uid_of
from personavlm.memory_store.storage.writes import Write, payload_of, table_of
from tests.unit.memory_store.sealed_rows import SCHEMAS, TIME, USER, new_sealer, turn_row, vector_row


@pytest.fixture(scope="module")
def sealer() -> Iterator[Sealer]:
    with new_sealer() as sealer:
        yield sealer


def stored(table: str, row: Row) -> Row:
    """The row after its way through the journal and the table."""
    schema = SCHEMAS[table]
    derived = table.startswith("vectors")  # not in the journal
    write = Write.of(table, USER, [row], kept=not derived)
    (read,) = table_of([write], 0, schema).to_pylist()
    return {**read, "epoch": row.get("epoch"), "seq": row.get("seq")}


# round trip


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
TIMES = st.datetimes(timezones=st.just(UTC))


def of_type(type_: pa.DataType) -> st.SearchStrategy[Any]:
    """Values that a column may hold, those at the ends among them."""
    if pa.types.is_fixed_size_list(type_):
        floats = st.lists(st.floats(width=32), min_size=type_.list_size, max_size=type_.list_size)
        return floats.map(lambda values: np.array(values, np.float32))
    if pa.types.is_list(type_):
        return st.lists(of_type(type_.value_type), max_size=3)
    if pa.types.is_struct(type_):
        return st.fixed_dictionaries(
            {type_.field(i).name: of_type(type_.field(i).type) for i in range(type_.num_fields)}
        )
    if pa.types.is_integer(type_):
        end = 2 ** (type_.bit_width - 1)
        return st.integers(-end, end - 1)
    plain: dict[pa.DataType, st.SearchStrategy[Any]] = {
        pa.string(): TEXT,
        pa.binary(): st.binary(max_size=30),
        pa.bool_(): st.booleans(),
        pa.float64(): st.floats(),
        pa.timestamp("us", tz="UTC"): TIMES,
    }
    return plain[type_]


@st.composite
def rows(draw: st.DrawFn) -> tuple[str, Row]:
    """A table's name and a row of it; any column but the tenant may be absent or empty."""
    table = draw(st.sampled_from(sorted(SCHEMAS)))
    columns = [field for field in SCHEMAS[table] if field.name not in ("tenant", "sealed")]
    row = {field.name: draw(st.none() | of_type(field.type)) for field in columns}
    for name in draw(st.sets(st.sampled_from(sorted(row)))):
        del row[name]
    return table, {**row, "tenant": draw(st.sampled_from(["acme", "globex"]))}


@settings(max_examples=300)
@given(case=rows())
def test_a_sealed_row_opens_to_the_same(sealer: Sealer, case: tuple[str, Row]) -> None:
    table, row = case
    expected = arrow_table([row], SCHEMAS[table])
    sealed = sealer.seal_row(table, row)
    assert all(name in CLEAR for name, value in sealed.items() if name != "sealed" and value is not None)
    opened = sealer.open_row(table, sealed)
    assert_same(arrow_table([opened], SCHEMAS[table]), expected)
    from_disk = arrow_table([stored(table, sealed)], SCHEMAS[table])
    assert_same(sealer.open_table(table, from_disk), expected)


def assert_same(left: pa.Table, right: pa.Table) -> None:
    """Equal to the bit: NaN is NaN, and -0.0 is not 0.0."""
    assert repr(left.to_pylist()) == repr(right.to_pylist())
    assert left.schema == right.schema


def test_a_time_in_the_content_keeps_its_microsecond(sealer: Sealer) -> None:
    times = [TIME, datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)]
    row = {"tenant": "acme", "seen": times, "raw": b"\x00\xff"}
    assert sealer.open_row("turns", sealer.seal_row("turns", row)) == {**row, "sealed": None}


def test_rows_in_the_clear_are_read_beside_sealed_ones(sealer: Sealer) -> None:
    clear, second = turn_row(id="t_1"), turn_row(id="t_2")
    schema = SCHEMAS["turns"]
    mixed = arrow_table([sealer.seal_row("turns", second), clear], schema)
    assert_same(sealer.open_table("turns", mixed), arrow_table([clear, second], schema))
    assert sealer.open_row("turns", clear) is clear


def test_vectors_in_the_clear_are_read_beside_sealed_ones(sealer: Sealer) -> None:
    clear, second = vector_row("t_1"), vector_row("t_2")
    schema = SCHEMAS["vectors_of_texts_x"]
    mixed = arrow_table([sealer.seal_row("vectors", second)], schema)
    mixed = pa.concat_tables([mixed, arrow_table([clear], schema)])
    assert_same(sealer.open_table("vectors", mixed), arrow_table([clear, second], schema))


def test_sealed_rows_go_through_lancedb(sealer: Sealer, tmp_path: Path) -> None:
    connection = connect(str(tmp_path))
    for name, row in (("turns", turn_row()), ("vectors_of_texts_x", vector_row())):
        schema = SCHEMAS[name]
        table = connection.create_table(name, schema=schema)
        # LanceDB takes the empty vector of a sealed row only where it is told to.
        table.add(arrow_table([sealer.seal_row(name, row)], schema), on_bad_vectors="null")
        read = table.search().select(schema.names).limit(None).to_arrow()
        assert_same(sealer.open_table(name, read), arrow_table([row], schema))


def test_a_row_without_content_is_left_alone(sealer: Sealer) -> None:
    mark = {
        "uid": uid_of(USER),
        "tenant": "acme",
        "user": "ada",
        "id": "",
        "source": "turn:t_1",
        "text": None,
    }
    assert sealer.seal_row(MemoryKind.SEMANTIC, mark) is mark
    sealed = sealer.seal_row("turns", turn_row())
    assert sealer.seal_row("turns", sealed) is sealed


def test_half_a_surrogate_pair_is_refused_as_in_the_clear(sealer: Sealer) -> None:
    with pytest.raises(InvalidError, match="surrogate"):
        sealer.seal_row("turns", turn_row(words="\ud800"))


# what is seen without a key


def test_no_content_is_seen(sealer: Sealer) -> None:
    sealed = sealer.seal_row("turns", turn_row())
    seen = payload_of([sealed]) + repr(sealed).encode() + sealed["sealed"]
    for words in ("secret", "answer", "ab" * 32, "caption", "client", "image/png", "user_text"):
        assert words.encode() not in seen
    sealed = sealer.seal_row("vectors", vector_row())
    vector = vector_row()["vector"]
    assert b"cd" * 32 not in repr(sealed).encode() and vector.tobytes() not in sealed["sealed"]


def test_the_same_row_is_never_sealed_the_same_way_twice(sealer: Sealer) -> None:
    blobs = {sealer.seal_row("turns", turn_row())["sealed"] for _ in range(100)}
    assert len(blobs) == 100 == len({blob[12:24] for blob in blobs})


def test_what_the_store_reads_without_a_key_stays_clear() -> None:
    assert all(set(columns_of(table)) <= CLEAR for table in SCHEMAS)
    erased_by = {"uid", "tenant", "id", "source", "version", "episode", "related", "seq", "epoch"}
    assert erased_by <= CLEAR
    assert {"sequence", "index", "version"} <= CLEAR  # the working set sorts by them


def test_which_columns_are_content() -> None:
    content = {table: [n for n in schema.names if n not in CLEAR] for table, schema in SCHEMAS.items()}
    memory = ["sealed", "text", "evidence", "reason"]
    assert content == {
        "turns": [
            *("sealed", "user_text", "assistant_text", "images", "thinking", "model", "client_id"),
            *("utc_offset_minutes", "attachments"),
        ],
        "core": [*memory, "block", "key"],
        "semantic": [*memory, "category", "keywords", "images", "crops"],
        "episodic": [*memory, "keywords"],
        "procedural": [*memory, "key"],
        "profile": ["sealed", "traits", "consent", "cause", "inferred", "smoothing", "evidence"],
        "progress": ["sealed"],
        "links": ["sealed", "shared", "score"],
        "vectors_of_texts_x": ["sealed", "digest", "vector", "token_ids", "token_vectors", "sentences"],
    }


# without encryption


def test_without_keys_everything_stands_in_the_clear() -> None:
    row, clear = turn_row(), InTheClear()
    table = arrow_table([row], SCHEMAS["turns"])
    assert clear.seal_row("turns", row) is row and clear.open_row("turns", row) is row
    assert clear.open_table("turns", table) is table
    assert clear.seal_bytes("acme", b"words") == clear.open_bytes("acme", b"words") == b"words"


def test_without_keys_sealed_data_is_refused(sealer: Sealer) -> None:
    clear, sealed = InTheClear(), sealer.seal_row("turns", turn_row())
    with pytest.raises(UnreadableError, match="acme"):
        clear.open_row("turns", sealed)
    with pytest.raises(UnreadableError, match="acme"):
        clear.open_table("turns", arrow_table([turn_row(), sealed], SCHEMAS["turns"]))
    with pytest.raises(UnreadableError, match="acme"):
        clear.open_bytes("acme", sealer.seal_bytes("acme", b"words"))
