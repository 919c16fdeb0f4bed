"""A store that is only read: by several at once, never while it is written, and nothing in it changes."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from personavlm.memory_store import InUseError, MemoryStore, NotFoundError, SearchRequest, TurnDraft, UserKey
from personavlm.memory_store.errors import StorageError
from tests.unit.memory_store.encoders import ByteEncoder, WordEncoder
from tests.unit.memory_store.killed import write_and_die

USER = UserKey("tenant", "reader")
NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


def written(folder: Path) -> MemoryStore:
    store = MemoryStore.open(folder, text_encoder=WordEncoder(), image_encoder=ByteEncoder())
    store.append_turn(USER, TurnDraft("i drink green tea", "noted", NOON))
    return store


def reading(folder: Path, dim: int = 64) -> MemoryStore:
    return MemoryStore.read_only(folder, text_encoder=WordEncoder(dim), image_encoder=ByteEncoder())


def files(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def found_by(store: MemoryStore) -> list[str]:
    return [hit.item.user_text for hit in store.search(USER, SearchRequest("tea", "tea")).turns]  # type: ignore[union-attr]


def test_several_read_at_once_and_nothing_changes(tmp_path: Path) -> None:
    written(tmp_path).close()
    before = files(tmp_path)
    with reading(tmp_path) as one, reading(tmp_path) as other:
        assert found_by(one) == found_by(other) == ["i drink green tea"]
        assert one.context(USER, NOON).open_session
    assert files(tmp_path) == before


def test_another_encoder_finds_what_has_no_vectors_of_it_yet(tmp_path: Path) -> None:
    written(tmp_path).close()
    with reading(tmp_path, dim=32) as store:
        assert found_by(store) == ["i drink green tea"]


def test_writers_and_readers_keep_each_other_out(tmp_path: Path) -> None:
    writer = written(tmp_path)
    with pytest.raises(InUseError, match="a writer has"):
        reading(tmp_path)
    writer.close()
    with reading(tmp_path), pytest.raises(InUseError, match="who only reads it"):
        written(tmp_path)
    written(tmp_path).close()


def test_a_write_is_refused(tmp_path: Path) -> None:
    written(tmp_path).close()
    with reading(tmp_path) as store, pytest.raises(StorageError, match="for reading only"):
        store.append_turn(USER, TurnDraft("more", "noted", NOON))


def test_a_folder_without_a_store_is_refused_and_left_empty(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no memory store"):
        reading(tmp_path / "nothing")


def test_a_store_that_was_killed_is_refused_until_it_was_opened_again(tmp_path: Path) -> None:
    write_and_die(tmp_path, [(USER, "i drink green tea")])
    with pytest.raises(InUseError, match="was not closed"):
        reading(tmp_path)
    MemoryStore.open(tmp_path, text_encoder=WordEncoder(), image_encoder=ByteEncoder()).close()
    with reading(tmp_path) as store:
        assert found_by(store)
