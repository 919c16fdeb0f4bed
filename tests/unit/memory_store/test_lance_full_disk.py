"""A table on a disk that fills up while a file is written: what was added stays, what was cut short goes."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pytest

from personavlm.memory_store.storage.lance import LanceTable, connect
from personavlm.memory_store.storage.table_repair import UNREADABLE

SCHEMA = pa.schema([("uid", pa.string()), ("seq", pa.int64()), ("text", pa.string())])
ROWS = 300


@contextmanager
def files_up_to(size: int) -> Iterator[None]:
    """No file of this process grows beyond a size in bytes: writes stop there and fail, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def opened(folder: Path) -> LanceTable:
    return LanceTable.open(connect(str(folder)), "rows", SCHEMA, folder)


def rows(first: int) -> pa.Table:
    values = [
        {"uid": "u", "seq": seq, "text": f"{seq} {hash(str(seq))}"} for seq in range(first, first + ROWS)
    ]
    return pa.Table.from_pylist(values, SCHEMA)


def size_of_a_file(folder: Path) -> int:
    """Bytes of a data file with so many rows."""
    table = opened(folder)
    table.add(rows(0))
    return max(path.stat().st_size for path in (folder / "rows.lance" / "data").iterdir())


def test_a_file_that_was_cut_short_is_no_success(tmp_path: Path) -> None:
    size = size_of_a_file(tmp_path / "measured")
    table = opened(tmp_path)
    added, refused = 0, 0
    for number in range(40):
        try:
            with files_up_to(size - 1 - 97 * number % size if number % 2 else size * 2):
                table.add(rows(added * ROWS))
        except UNREADABLE:
            refused += 1
        else:
            added += 1
        expected = list(range(added * ROWS))
        assert sorted(table.columns(["seq"])["seq"].to_pylist()) == expected
    assert refused == 20
    assert sorted(opened(tmp_path).columns(["seq"])["seq"].to_pylist()) == list(range(added * ROWS))


@pytest.mark.parametrize("work", ["compact", "rewrite", "forget_versions"])
def test_maintenance_that_was_cut_short_changes_nothing(tmp_path: Path, work: str) -> None:
    table = opened(tmp_path)
    for number in range(8):
        table.add(rows(number * ROWS))
    for size in range(500, 60_000, 1_900):
        try:
            with files_up_to(size):
                getattr(table, work)()
        except UNREADABLE:
            continue
        finally:
            assert sorted(table.columns(["seq"])["seq"].to_pylist()) == list(range(8 * ROWS))
    table.add(rows(8 * ROWS))
    getattr(table, work)()
    assert sorted(opened(tmp_path).columns(["seq"])["seq"].to_pylist()) == list(range(9 * ROWS))
