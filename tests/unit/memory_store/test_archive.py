"""Out of a store and into one: every read gives the same afterwards."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings

from personavlm.memory_store import InvalidError, MemoryStore, TurnDraft, UserKey
from personavlm.memory_store.lifecycle.archive import NOT_CONTENT
from personavlm.memory_store.lifecycle.archive_lines import LINES, VECTOR_LINE
from personavlm.memory_store.storage.settings import StorageSettings
from personavlm.memory_store.storage.tables import RECORDS, vectors_schema
from tests.unit.memory_store.archives import (
    everything,
    exported,
    imported,
    live_a_little,
    unzipped,
)
from tests.unit.memory_store.encoders import WordEncoder, close_stores, open_store
from tests.unit.memory_store.places import examples
from tests.unit.memory_store.sealed_rows import new_sealer
from tests.unit.memory_store.test_store_histories import HISTORIES, Event, live_through

NewUser = Callable[[], UserKey]


@pytest.fixture(scope="session")
def other_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("other")


@settings(max_examples=examples(6), deadline=None)
@given(history=HISTORIES)
def test_round_trip_of_any_history(
    store: MemoryStore, other_folder: Path, new_user: NewUser, history: list[Event]
) -> None:
    user, copy, minutes = new_user(), UserKey("another tenant", new_user().user), 0
    for event in history:
        minutes += event.minutes
        live_through(store, user, event, minutes)
    archive = exported(store, user)
    other = open_store(other_folder)
    imported(other, copy, archive)
    assert everything(other, copy) == everything(store, user)
    assert exported(other, copy).count(b"turns.jsonl") == archive.count(b"turns.jsonl")
    assert unzipped(exported(other, copy))["turns.jsonl"] == unzipped(archive)["turns.jsonl"]
    assert everything(open_store(other_folder), copy) == everything(store, user)


def test_everything_goes_along(store: MemoryStore, new_user: NewUser, tmp_path: Path) -> None:
    user = new_user()
    live_a_little(store, user)
    before = everything(store, user)
    assert before[-1] and any(len(thread) > 1 for thread in before[-1])  # type: ignore[attr-defined]
    archive = exported(store, user)
    other = open_store(tmp_path)
    imported(other, user, archive)
    assert everything(other, user) == before
    # It goes on where it was: no index, version or id is used twice.
    assert (
        store.append_turn(user, TurnDraft("x", "y")).index
        == other.append_turn(user, TurnDraft("x", "y")).index
    )
    assert other.append_turn(user, TurnDraft("a", "b", client_id="1")) == other.turns(user)[1]


def test_vectors_go_along_where_the_model_is_the_same(
    store: MemoryStore, new_user: NewUser, tmp_path: Path
) -> None:
    user = new_user()
    live_a_little(store, user)
    store.index(user)
    archive = exported(store, user, vectors=True)
    encoder = WordEncoder()
    other = open_store(tmp_path / "same", encoder)
    imported(other, user, archive)
    other.index(user)
    assert not encoder.encoded
    assert everything(other, user) == everything(store, user)
    encoder = WordEncoder(dim=32)
    other = open_store(tmp_path / "another", encoder)
    imported(other, user, archive)
    other.index(user)
    assert encoder.encoded


def test_an_archive_is_in_the_clear_and_what_is_imported_is_not(tmp_path: Path) -> None:
    words = b"Fang Wei and the piano"
    ada, bob = UserKey("acme", "ada"), UserKey("globex", "bob")
    with new_sealer() as first, new_sealer() as second:
        store = open_store(tmp_path / "first", storage=StorageSettings(protection=first))
        live_a_little(store, ada)
        store.index(ada)
        archive = exported(store, ada, vectors=True)
        assert words in unzipped(archive)["turns.jsonl"]
        other = open_store(tmp_path / "second", storage=StorageSettings(protection=second))
        imported(other, bob, archive)
        assert everything(other, bob) == everything(store, ada)
        other.flush()
        close_stores()
    assert not any(words in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


def test_the_archive_is_what_the_documentation_says(store: MemoryStore, new_user: NewUser) -> None:
    user = new_user()
    live_a_little(store, user)
    members = unzipped(exported(store, user))
    assert set(members) == {f"{name}.jsonl" for name in RECORDS} | {
        "manifest.json",
        f"media/{store.turns(user)[1].images[0].sha256}.png",
    }
    manifest = json.loads(members["manifest.json"])
    assert (manifest["format"], manifest["kind"]) == (1, "user")
    assert (manifest["tenant"], manifest["user"]) == user
    assert manifest["members"]["turns.jsonl"]["rows"] == 3
    turn = json.loads(members["turns.jsonl"].splitlines()[0])
    assert set(turn) == set(RECORDS["turns"].names) - set(NOT_CONTENT)
    assert turn["event_time"] == "2026-03-01T00:00:00Z"


@pytest.mark.parametrize("table", RECORDS)
def test_lines_have_the_columns_of_their_tables(table: str) -> None:
    schema = LINES[table].json_schema()
    models = [schema, *schema.get("$defs", {}).values()]
    columns = set(RECORDS[table].names) - set(NOT_CONTENT)
    assert columns in [set(model.get("properties", ())) for model in models]


def test_lines_of_vectors_have_the_columns_of_their_tables() -> None:
    assert set(VECTOR_LINE.json_schema()["properties"]) == set(vectors_schema(3).names) - set(NOT_CONTENT)


def test_who_has_data_is_not_overwritten_unasked(store: MemoryStore, new_user: NewUser) -> None:
    user, guest = new_user(), new_user()
    live_a_little(store, user)
    archive = exported(store, user)
    store.append_turn(guest, TurnDraft("I was here", "yes"))
    before = everything(store, guest)
    with pytest.raises(InvalidError, match="replace=True"):
        imported(store, guest, archive)
    assert everything(store, guest) == before
    pictured = new_user()
    store.put_image(pictured, b"only an image", "image/png", 1, 1)
    with pytest.raises(InvalidError, match="replace=True"):
        imported(store, pictured, archive)


def test_replacing_leaves_nothing_of_what_was_there(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    user, other = UserKey("t", "u"), UserKey("t", "other")
    live_a_little(store, user)
    archive, wanted = exported(store, user), everything(store, user)
    live_a_little(store, other)
    unwanted = "a secret that must not outlive the import"
    image = store.put_image(other, b"an image of a secret", "image/png", 1, 1)
    store.append_turn(other, TurnDraft(unwanted, "hm", images=(image,)))
    assert len(store.pending()) == 2
    imported(store, other, archive, replace=True)
    assert everything(store, other) == wanted == everything(store, user)
    assert not list((tmp_path / "erasures").glob("*"))
    close_stores()
    files = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert not any(unwanted.encode() in data or b"an image of a secret" in data for data in files)
    assert everything(open_store(tmp_path), other) == wanted


def test_a_user_without_data_has_an_empty_archive(store: MemoryStore, new_user: NewUser) -> None:
    user = new_user()
    imported(store, user, exported(store, new_user()))
    assert not store.turns(user)
    assert user not in store.users()


def test_round_trip_of_a_tenant(tmp_path: Path) -> None:
    store, names = open_store(tmp_path / "from"), ["Bob / ../x", "ada", "城"]
    for name in names:
        live_a_little(store, UserKey("acme", name))
    live_a_little(store, UserKey("globex", "ada"))
    file = io.BytesIO()
    assert len(store.transfer.export_tenant("acme", file).members) == 3
    other = open_store(tmp_path / "to")
    live_a_little(other, UserKey("acme", "ada"))
    users = other.transfer.import_tenant("initech", file)
    assert users == tuple(UserKey("initech", name) for name in names)
    for name in names:
        assert everything(other, UserKey("initech", name)) == everything(store, UserKey("acme", name))
    with pytest.raises(InvalidError, match="replace=True"):
        other.transfer.import_tenant("acme", file)
    assert UserKey("acme", "城") not in other.users()
    other.transfer.import_tenant("acme", file, replace=True)
    assert everything(other, UserKey("acme", "城")) == everything(store, UserKey("acme", "城"))
