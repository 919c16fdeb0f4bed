"""The searches that confirm an erasure find what was left behind, in tables of thousands of rows too."""

import random
import shutil
import string
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import lancedb
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from personavlm.memory_store import DamagedError, MemoryStore, Turn, UserKey
from personavlm.memory_store.lifecycle.erasure import Plan
from personavlm.memory_store.lifecycle.words import _passage
from personavlm.memory_store.storage.byte_search import data_files, search_bytes
from personavlm.memory_store.storage.journal import Entry, Journal
from personavlm.memory_store.storage.lance import LanceTable, connect
from personavlm.memory_store.storage.local_objects import LocalObjects
from personavlm.memory_store.storage.objects import open_objects
from personavlm.memory_store.storage.settings import StorageSettings
from personavlm.memory_store.storage.sql import quoted
from personavlm.memory_store.storage.tables import RECORDS, Row, arrow_table, row_of, uid_of
from personavlm.memory_store.storage.writes import payload_of
from tests.unit.memory_store.bucket_server import BucketServer, bucket_server
from tests.unit.memory_store.encoders import ByteEncoder, WordEncoder, open_store
from tests.unit.memory_store.journal_files import log_of
from tests.unit.memory_store.steps import day, say

ANN, BOB = UserKey("acme", "ann"), UserKey("acme", "bob")
ROWS = 3_000
TEXTS = {
    "turns": ("user_text", "assistant_text", "thinking", "images"),
    "core": ("text", "reason", "key"),
    "semantic": ("text", "reason", "keywords", "images"),
    "episodic": ("text", "reason", "keywords"),
    "procedural": ("text", "reason", "key"),
    "links": ("shared",),
}


def sentence(number: int, words: int = 12) -> str:
    """Words that no other number has."""
    letters = random.Random(number)
    return " ".join("".join(letters.choices(string.ascii_lowercase, k=6)) for _ in range(words))


def say_much(store: MemoryStore, user: UserKey, texts: Sequence[str]) -> None:
    """A turn for each text, stored at once."""
    turns = [
        Turn(f"{user.user} {n}", n, f"{user.user} 0", day(n), day(n), text, "")
        for n, text in enumerate(texts)
    ]
    store._shard.append(user, "turns", [row_of(user, turn) for turn in turns])
    store.flush()


def first_data(folder: Path, table: str = "turns") -> Path:
    return next((folder / f"{table}.lance" / "data").iterdir())


# bytes


def holding(column: str, text: str) -> Any:  # noqa: ANN401 - whatever the column holds
    if column == "images":
        return [{"sha256": "0", "media_type": "image/png", "width": 1, "height": 1, "caption": text}]
    return [text] if column in ("keywords", "shared") else text


@pytest.mark.parametrize("each", [1, 10], ids=["all different", "each ten times"])
@pytest.mark.parametrize("name", TEXTS)
def test_every_text_stands_in_the_files_as_it_was_written(tmp_path: Path, name: str, each: int) -> None:
    table = LanceTable.open(connect(str(tmp_path)), name, RECORDS[name], tmp_path)
    texts = {
        column: [sentence(place * ROWS + n // each) for n in range(ROWS)]
        for place, column in enumerate(TEXTS[name])
    }
    rows: list[Row] = [
        {"uid": "u", "seq": n} | {column: holding(column, texts[column][n]) for column in texts}
        for n in range(ROWS)
    ]
    for first in range(0, ROWS, ROWS // 2):
        table.add(arrow_table(rows[first : first + ROWS // 2], RECORDS[name]))
    for tidy in (table.compact, table.rewrite):
        tidy()
        table.forget_versions()
        data = first_data(tmp_path, name).read_bytes()
        for column, own in texts.items():
            assert not [text for text in own if text.encode() not in data], column


def test_a_copy_of_a_large_table_is_found(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    say_much(store, ANN, [sentence(n) for n in range(ROWS)])
    say_much(store, BOB, [sentence(n) for n in range(ROWS, 2 * ROWS)])
    copy = shutil.copytree(tmp_path / "turns.lance", tmp_path / "copy.lance")
    with pytest.raises(DamagedError, match=r"bytes are left in copy\.lance"):
        store.eraser.erase_user(ANN)
    shutil.rmtree(copy)
    assert store.eraser.erase_user(BOB).searched_files > 0
    assert len(store.eraser.receipts("acme")) == 2, "the erasure before was finished first"


def test_a_table_of_before_texts_stood_as_written_is_served_and_written_anew(tmp_path: Path) -> None:
    old, images = [field.remove_metadata() for field in RECORDS["turns"]], RECORDS["turns"].field("images")
    plain = pa.list_(pa.struct([field.remove_metadata() for field in images.type.value_type]))
    old[old.index(images)] = pa.field("images", plain)
    LanceTable.open(connect(str(tmp_path)), "turns", pa.schema(old), tmp_path)
    store = open_store(tmp_path)
    texts = [sentence(n) for n in range(ROWS)]
    say_much(store, BOB, texts)
    words = [text.encode() for text in texts]
    table = first_data(tmp_path).read_bytes()
    assert not any(word in table for word in words), "otherwise this is no old table"
    say(store, ANN, 0, "something else")
    assert len(store.turns(BOB)) == ROWS, "rows of the table and rows on their way go together"
    store.eraser.erase_user(ANN)
    table = first_data(tmp_path).read_bytes()
    assert all(word in table for word in words)
    store = open_store(tmp_path)
    say(store, BOB, ROWS, "one more")
    store.evict()
    assert [turn.user_text for turn in store.turns(BOB)] == [*texts, "one more"]


@given(st.text())
def test_a_passage_is_the_same_bytes_in_the_journal(text: str) -> None:
    assert _passage(text).encode() in payload_of([{"text": text}])


# files


@pytest.fixture(scope="module")
def server() -> Iterator[BucketServer]:
    with bucket_server() as server:
        yield server


@pytest.fixture(params=["folder", "bucket"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, StorageSettings]:
    if request.param == "folder":
        return str(tmp_path), StorageSettings()
    server: BucketServer = request.getfixturevalue("server")
    return server.new_uri(), StorageSettings("commit", server.options)


@pytest.fixture
def store(place: tuple[str, StorageSettings]) -> Iterator[MemoryStore]:
    uri, storage = place
    with closing(
        MemoryStore.open(uri, text_encoder=WordEncoder(), image_encoder=ByteEncoder(), storage=storage)
    ) as store:
        yield store


def test_a_version_names_its_own_files_only(tmp_path: Path) -> None:
    """Joining fragments writes the replaced ones down as well, in the same manifest."""
    table = lancedb.connect(tmp_path).create_table("joined", schema=pa.schema({"seq": pa.int64()}))
    for seq in range(5):
        table.add(pa.table({"seq": [seq]}))
    before, others = data_files(LocalObjects(tmp_path), "joined")
    assert len(before) == 5 and not others
    table.optimize(cleanup_older_than=timedelta(days=1))
    newest, others = data_files(LocalObjects(tmp_path), "joined")
    assert len(newest) == 1 and others == before
    assert all(key.encode().split(b"/")[-1] in newest_manifest(tmp_path) for key in before)


def newest_manifest(folder: Path) -> bytes:
    return min((folder / "joined.lance" / "_versions").glob("*.manifest")).read_bytes()


def test_no_erasure_is_confirmed_while_a_version_before_it_is_left(
    store: MemoryStore, place: tuple[str, StorageSettings]
) -> None:
    """A branch keeps the version that it began at, and LanceDB's cleanup says nothing of it."""
    uri, storage = place
    say_much(store, ANN, ["too short to be searched"[: n % 20 + 1] for n in range(ROWS)])
    say_much(store, BOB, ["bob's"])
    (before,) = data_files(store._shard.objects, "turns")[:1]
    table = lancedb.connect(uri, storage_options=dict(storage.options)).open_table("turns")
    table.branches.create("kept")
    with pytest.raises(DamagedError, match=r"no version has turns\.lance/data/") as error:
        store.eraser.erase_user(ANN)
    assert any(key in str(error.value) for key in before)
    assert store.eraser.receipts("acme") == ()
    table.branches.delete("kept")
    assert store.eraser.erase_user(BOB).rows == {"turns": 1}
    assert len(store.eraser.receipts("acme")) == 2
    assert data_files(store._shard.objects, "turns")[1] == set()


def test_what_another_writer_may_be_about_to_commit_is_no_old_file(server: BucketServer) -> None:
    uri, storage = server.new_uri(), StorageSettings("commit", server.options)
    objects = open_objects(uri, server.options)
    with closing(
        MemoryStore.open(uri, text_encoder=WordEncoder(), image_encoder=ByteEncoder(), storage=storage)
    ) as store:
        objects.put("turns.lance/data/0123456789abcdef.lance", b"what was never committed" * 100)
        say_much(store, ANN, [sentence(1)])
        assert store.eraser.erase_user(ANN).rows == {"turns": 1}


def test_rows_that_were_only_hidden_go_too(store: MemoryStore, place: tuple[str, StorageSettings]) -> None:
    """As by an erasure that was cut off in a bucket: a few rows of a large table, which compaction leaves."""
    uri, storage = place
    own = [sentence(n) for n in range(50)]
    say_much(store, ANN, own)
    say_much(store, BOB, [sentence(n) for n in range(ROWS, 2 * ROWS)])
    store._shard.tables["turns"].compact()
    objects = store._shard.objects
    table = lancedb.connect(uri, storage_options=dict(storage.options)).open_table("turns")
    table.delete(f"uid = {quoted(uid_of(ANN))}")
    store._shard.tables["turns"]._table.checkout_latest()
    words = [text.encode() for text in own]
    assert search_bytes(objects, words).found
    store.eraser.note(Plan.of_user("1", ANN, day(0)))
    store.eraser.resume()
    assert [receipt.id for receipt in store.eraser.receipts("acme")] == ["1"]
    assert not search_bytes(objects, words).found
    assert len(store.turns(BOB)) == ROWS


# the journal


def locked(path: Path) -> bool:
    """Whether another process finds the database locked."""
    code = "import sqlite3, sys; sqlite3.connect(sys.argv[1], timeout=0).execute('BEGIN IMMEDIATE')"
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 or "database is locked" in done.stderr, done.stderr
    return done.returncode != 0


def test_a_search_finds_what_the_journal_holds_and_leaves_its_locks(tmp_path: Path) -> None:
    path, words = tmp_path / "journal.sqlite", b"words on their way into a table"
    objects = LocalObjects(tmp_path)
    with closing(Journal.open(path)) as journal:
        journal.append([Entry(1, "turns", "ann", words)])
        assert search_bytes(objects, [words]).found == (log_of(path).name,)
        journal._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        assert search_bytes(objects, [words]).found == (path.name,)
        assert locked(path)
        journal.drop_through(1)
        journal.purge()
        assert search_bytes(objects, [words]) == search_bytes(objects, [b"nothing"])
        assert locked(path)
    assert not locked(path)


def test_pages_that_the_journal_no_longer_uses_are_searched(tmp_path: Path) -> None:
    path, words = tmp_path / "journal.sqlite", b"words in a page that is free"
    with closing(Journal.open(path)) as journal:
        journal._connection.execute("PRAGMA secure_delete=OFF")
        journal.append([Entry(seq, "turns", "ann", words * 500) for seq in range(1, 20)])
        journal.drop_through(20)
        journal._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        assert search_bytes(LocalObjects(tmp_path), [words]).found == (path.name,)
        journal.purge()
        assert search_bytes(LocalObjects(tmp_path), [words]).found == ()
