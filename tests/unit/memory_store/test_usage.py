"""What tenants take is counted by tenant, with what is not in the tables yet."""

from pathlib import Path

import pyarrow as pa
import pytest

from personavlm.memory_store import Add, Delete, MemoryKind, MemoryStore, TurnDraft, UserKey
from personavlm.memory_store.lifecycle.usage import sizes
from personavlm.memory_store.storage.settings import StorageSettings
from tests.unit.memory_store.archives import live_a_little
from tests.unit.memory_store.encoders import open_store
from tests.unit.memory_store.sealed_rows import new_sealer
from tests.unit.memory_store.steps import day

ADA, BOB, CYD = UserKey("acme", "ada"), UserKey("acme", "bob"), UserKey("globex", "ada")


@pytest.fixture
def store(tmp_path: Path) -> MemoryStore:
    return open_store(tmp_path)


def test_an_empty_store(store: MemoryStore) -> None:
    assert store.usage() == {}


def test_what_is_counted(store: MemoryStore) -> None:
    for user in (ADA, BOB, CYD):
        live_a_little(store, user)
    gone = store.memories(ADA)[0]
    store.apply(ADA, gone.kind, "deletion", [Delete(gone.id, day(9), "reason")])
    found = store.usage()
    assert set(found) == {"acme", "globex"}
    acme, globex = found["acme"], found["globex"]
    assert (acme.users, acme.turns, acme.memories) == (2, 6, 24)
    assert (globex.users, globex.turns, globex.memories) == (1, 3, 12)
    assert acme.media_bytes == 2 * globex.media_bytes == 2 * len(b"\x89PNG a cup")
    assert acme.vector_bytes == globex.vector_bytes == 0
    assert acme.row_bytes > 2 * globex.row_bytes


def test_what_is_added_shows_at_once_byte_by_byte(store: MemoryStore) -> None:
    live_a_little(store, ADA)
    live_a_little(store, CYD)
    before = store.usage()
    store.append_turn(ADA, TurnDraft("", "short", day(20)))
    one = store.usage()
    store.append_turn(ADA, TurnDraft("", "short" + "城" * 1000, day(20.01)))
    two = store.usage()
    assert one["globex"] == two["globex"] == before["globex"]
    assert two["acme"].turns == before["acme"].turns + 2
    grown = two["acme"].row_bytes - one["acme"].row_bytes
    assert grown == one["acme"].row_bytes - before["acme"].row_bytes + 3000


def test_vectors_are_counted_without_being_read(store: MemoryStore) -> None:
    store.apply(ADA, MemoryKind.SEMANTIC, "s", [Add("three words here", day(1), ())])
    store.index(ADA)
    # A vector of 64 numbers; for three tokens an id and 64 small numbers each; one sentence.
    assert store.usage()["acme"].vector_bytes == 4 * 64 + 3 * (4 + 64) + 4


def test_after_erasure_nothing_is_left(store: MemoryStore) -> None:
    live_a_little(store, ADA)
    live_a_little(store, CYD)
    before = store.usage()["globex"]
    store.eraser.erase_tenant("acme")
    assert store.usage() == {"globex": before}


def test_sealed_rows_count_as_they_are_stored(tmp_path: Path) -> None:
    plain = open_store(tmp_path / "plain")
    live_a_little(plain, ADA)
    plain.index(ADA)
    with new_sealer() as sealer:
        sealed = open_store(tmp_path / "sealed", storage=StorageSettings(protection=sealer))
        live_a_little(sealed, ADA)
        sealed.index(ADA)
        clear, stored = plain.usage()["acme"], sealed.usage()["acme"]
        sealed.close()
    assert (clear.turns, clear.memories) == (stored.turns, stored.memories)
    assert clear.row_bytes < stored.row_bytes < 3 * clear.row_bytes
    assert clear.vector_bytes < stored.vector_bytes < 3 * clear.vector_bytes
    assert clear.media_bytes < stored.media_bytes


def test_sizes_of_every_type() -> None:
    images = pa.list_(pa.struct({"caption": pa.string(), "width": pa.int32()}))
    rows = pa.table(
        {
            "text": ["ab", None, "城"],
            "bytes": pa.array([b"abc", b"", None], pa.binary()),
            "number": pa.array([1, None, 3], pa.int64()),
            "flag": [True, None, False],
            "texts": pa.array([["a", "bcd"], None, []], pa.list_(pa.string())),
            "images": pa.array([[{"caption": "xy", "width": 1}] * 2, [], None], images),
            "floats": pa.array([[1.0, 2.0], [], None], pa.list_(pa.float64())),
        }
    )
    found = {name: sizes(rows[name].combine_chunks()).tolist() for name in rows.column_names}
    assert found == {
        "text": [2, 0, 3],
        "bytes": [3, 0, 0],
        "number": [8, 0, 8],
        "flag": [1, 0, 1],
        "texts": [4, 0, 0],
        "images": [12, 0, 0],
        "floats": [16, 0, 0],
    }
