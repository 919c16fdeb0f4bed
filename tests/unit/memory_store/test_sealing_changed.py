"""Sealed data that was changed or moved, or whose key is gone, is never opened."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from personavlm.memory_store.records import MemoryKind, UserKey
from personavlm.memory_store.storage.keyring import KeyDroppedError, Keyring, MasterKey
from personavlm.memory_store.storage.local_objects import LocalObjects
from personavlm.memory_store.storage.sealing import (
    CLEAR,
    Sealer,
    UnreadableError,
    is_sealed,
)
from personavlm.memory_store.storage.tables import Row, arrow_table
from tests.unit.memory_store.sealed_rows import SCHEMAS, TIME, new_sealer, turn_row


@pytest.fixture(scope="module")
def sealer() -> Iterator[Sealer]:
    with new_sealer() as sealer:
        yield sealer


OTHER_VALUES: Row = {
    "uid": "4:acmebob",
    "user": "bob",
    "id": "t_2",
    "index": 4,
    "session": "t_2",
    "event_time": TIME.replace(microsecond=0),
    "recorded_at": None,
}


@pytest.mark.parametrize("column", sorted(OTHER_VALUES))
def test_a_blob_opens_in_its_own_row_only(sealer: Sealer, column: str) -> None:
    sealed = sealer.seal_row("turns", turn_row())
    with pytest.raises(UnreadableError):
        sealer.open_row("turns", sealed | {column: OTHER_VALUES[column]})


def test_every_clear_column_but_the_place_is_bound(sealer: Sealer) -> None:
    row = turn_row()
    for name in CLEAR - {"epoch", "seq", "tenant"}:
        sealed = sealer.seal_row("turns", row | {name: "one"})
        with pytest.raises(UnreadableError):
            sealer.open_row("turns", sealed | {name: "another"})
    moved = sealer.seal_row("turns", row) | {"epoch": 9, "seq": 99}
    assert sealer.open_row("turns", moved)["user_text"] == row["user_text"]


def test_a_blob_opens_in_no_other_table(sealer: Sealer) -> None:
    sealed = sealer.seal_row(MemoryKind.CORE, turn_row())
    with pytest.raises(UnreadableError):
        sealer.open_row(MemoryKind.PROCEDURAL, sealed)


def test_blobs_are_not_exchanged_between_tenants(sealer: Sealer) -> None:
    ours = sealer.seal_row("turns", turn_row())
    theirs = sealer.seal_row("turns", turn_row(UserKey("globex", "ada")))
    with pytest.raises(UnreadableError):
        sealer.open_row("turns", theirs | {"sealed": ours["sealed"]})
    with pytest.raises(UnreadableError):
        sealer.open_row("turns", ours | {"tenant": "globex"})


@given(data=st.data())
def test_every_changed_bit_is_seen(sealer: Sealer, data: st.DataObject) -> None:
    sealed = sealer.seal_row("turns", turn_row())
    blob = bytearray(sealed["sealed"])
    position = data.draw(st.integers(0, 8 * len(blob) - 1))
    blob[position // 8] ^= 1 << position % 8
    with pytest.raises(UnreadableError):
        sealer.open_row("turns", sealed | {"sealed": bytes(blob)})


@given(length=st.integers(0, 400))
def test_every_cut_is_seen(sealer: Sealer, length: int) -> None:
    sealed = sealer.seal_row("turns", turn_row())
    with pytest.raises(UnreadableError):
        sealer.open_row(
            "turns", sealed | {"sealed": sealed["sealed"][: min(length, len(sealed["sealed"]) - 1)]}
        )


def test_rows_of_a_dropped_key_cannot_be_read(tmp_path: Path) -> None:
    keyring = Keyring.open(LocalObjects(tmp_path), MasterKey(b"k" * 32))
    sealed = keyring.sealer.seal_row("turns", turn_row())
    table = arrow_table([sealed, turn_row(id="t_2")], SCHEMAS["turns"])
    keyring.drop("acme")
    with pytest.raises(KeyDroppedError):
        keyring.sealer.open_row("turns", sealed)
    with pytest.raises(KeyDroppedError):
        keyring.sealer.open_table("turns", table)
    with pytest.raises(KeyDroppedError):
        keyring.sealer.seal_row("turns", turn_row())


# bytes


@given(data=st.binary(), context=st.binary(max_size=20))
def test_sealed_bytes_open_to_the_same(sealer: Sealer, data: bytes, context: bytes) -> None:
    sealed = sealer.seal_bytes("acme", data, context)
    assert is_sealed(sealed) and (len(data) < 8 or data not in sealed)
    assert sealer.open_bytes("acme", sealed, context) == data


def test_bytes_open_in_their_context_only(sealer: Sealer) -> None:
    sealed = sealer.seal_bytes("acme", b"words", b"one")
    for tenant, context in (("acme", b"two"), ("acme", b""), ("globex", b"one")):
        with pytest.raises(UnreadableError):
            sealer.open_bytes(tenant, sealed, context)


def test_a_row_is_not_opened_as_bytes(sealer: Sealer) -> None:
    row: Row = {"tenant": "acme", "text": "words"}
    blob = sealer.seal_row("turns", row)["sealed"]
    bound = [None, "acme", *[None] * (len(CLEAR) - 4)]  # all clear columns but epoch and seq
    identity = b"row:" + json.dumps(["turns", *bound]).encode()
    for context in (b"", identity):
        with pytest.raises(UnreadableError):
            sealer.open_bytes("acme", blob, context)


def test_bytes_that_were_never_sealed_are_no_secret(sealer: Sealer) -> None:
    assert not is_sealed(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(UnreadableError, match="not sealed"):
        sealer.open_bytes("acme", b"\x89PNG\r\n\x1a\n")


def test_many_threads_seal_and_open(sealer: Sealer) -> None:
    def there_and_back(number: int) -> bool:
        row = turn_row(UserKey(f"tenant {number % 5}", "ada"), words=f"words {number}")
        opened = sealer.open_row("turns", sealer.seal_row("turns", row))
        return bool(opened["user_text"] == f"words {number}")

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(there_and_back, range(2000)))
