"""Torn writes: what a crash or a full disk leaves of the newest files is repaired at open."""

import logging
from collections.abc import Callable
from pathlib import Path
from threading import Thread

import lancedb
import pytest

from personavlm.memory_store import DamagedError, SearchRequest, TurnDraft, UserKey
from personavlm.memory_store.storage.lance import FRAGMENTS_BEFORE_COMPACTION
from tests.unit.memory_store.encoders import open_store

USER = UserKey("t", "u")

Tear = Callable[[bytes], bytes]
TEARS: dict[str, Tear] = {
    "empty": lambda data: b"",
    "cut to ten bytes": lambda data: data[:10],
    "half": lambda data: data[: len(data) // 2],
    "last byte gone": lambda data: data[:-1],
    "zeros": lambda data: bytes(len(data)),
}


def written(folder: Path, turns: int = 3) -> None:
    store = open_store(folder)
    for number in range(turns):
        store.append_turn(USER, TurnDraft(f"turn {number}", "ok", client_id=str(number)))
        store.flush()
    store.close()


def manifests(folder: Path) -> list[Path]:
    """Newest first."""
    return sorted((folder / "turns.lance" / "_versions").glob("*.manifest"))


def newest_data(folder: Path) -> Path:
    return max((folder / "turns.lance" / "data").iterdir(), key=lambda path: path.stat().st_mtime_ns)


def tear(path: Path, how: Tear) -> None:
    path.write_bytes(how(path.read_bytes()))


@pytest.mark.parametrize("how", TEARS.values(), ids=TEARS)
@pytest.mark.parametrize("part", ["manifest", "data"])
def test_a_torn_head_is_set_aside(
    tmp_path: Path, part: str, how: Tear, caplog: pytest.LogCaptureFixture
) -> None:
    written(tmp_path)
    head = manifests(tmp_path)[0]
    tear(head if part == "manifest" else newest_data(tmp_path), how)
    with caplog.at_level(logging.WARNING):
        store = open_store(tmp_path)
    assert "cannot be read" in caplog.text
    assert head.with_name(head.name + ".corrupt").exists()
    assert [turn.user_text for turn in store.turns(USER)] == ["turn 0", "turn 1"]
    again = store.append_turn(USER, TurnDraft("turn 2", "ok", client_id="2"))
    assert again.index == 2
    turns = store.turns(USER)
    store = open_store(tmp_path)
    assert store.turns(USER) == turns
    assert len(store.search(USER, SearchRequest("turn")).turns) == 3


def test_several_torn_heads_are_set_aside(tmp_path: Path) -> None:
    written(tmp_path)
    for head in manifests(tmp_path)[:2]:
        tear(head, TEARS["zeros"])
    assert [turn.user_text for turn in open_store(tmp_path).turns(USER)] == ["turn 0"]


def test_a_table_torn_at_its_beginning_begins_again(tmp_path: Path) -> None:
    written(tmp_path, turns=0)
    for head in manifests(tmp_path)[:-1]:
        head.unlink()
    tear(manifests(tmp_path)[0], TEARS["empty"])
    store = open_store(tmp_path)
    assert store.append_turn(USER, TurnDraft("a", "b")).index == 0


def test_a_table_without_a_version_to_read_is_left_as_it_is(tmp_path: Path) -> None:
    written(tmp_path)
    before = manifests(tmp_path)
    for manifest in before:
        tear(manifest, TEARS["half"])
    with pytest.raises(DamagedError, match="turns"):
        open_store(tmp_path)
    assert manifests(tmp_path) == before


def test_a_torn_index_is_built_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    written(tmp_path, FRAGMENTS_BEFORE_COMPACTION)
    open_store(tmp_path).maintain()  # takes the rows into the index
    for file in (tmp_path / "turns.lance" / "_indices").rglob("*.lance"):
        tear(file, TEARS["empty"])
    store = open_store(tmp_path)
    assert len(store.turns(USER)) == FRAGMENTS_BEFORE_COMPACTION
    assert "index" in caplog.text


def test_compaction_joins_fragments_while_turns_come_in(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    total = 3 * FRAGMENTS_BEFORE_COMPACTION
    failures: list[BaseException] = []

    def write() -> None:
        try:
            for number in range(total):
                store.append_turn(USER, TurnDraft(f"turn {number}", "ok"))
        except BaseException as error:  # noqa: BLE001 - handed to the test's own thread
            failures.append(error)

    writer = Thread(target=write)
    writer.start()
    while writer.is_alive():
        store.maintain()
    writer.join()
    store.maintain()
    assert not failures
    turns = store.turns(USER)
    assert [turn.user_text for turn in turns] == [f"turn {n}" for n in range(total)]
    assert open_store(tmp_path).turns(USER) == turns
    stats = lancedb.connect(tmp_path).open_table("turns").stats()
    assert stats["fragment_stats"]["num_fragments"] < FRAGMENTS_BEFORE_COMPACTION


def test_a_small_table_is_joined_whenever_it_is_looked_at_and_then_left_alone(tmp_path: Path) -> None:
    written(tmp_path, turns=5)
    store = open_store(tmp_path)
    assert store.stats().fragments["turns"] == 5
    store.maintain()
    assert store.stats().fragments["turns"] == 1
    joined = manifests(tmp_path)
    store.maintain()
    assert manifests(tmp_path) == joined
    assert [turn.user_text for turn in store.turns(USER)] == [f"turn {n}" for n in range(5)]


def test_what_never_got_its_name_goes_at_opening_and_with_an_erasure(tmp_path: Path) -> None:
    """A process that is killed leaves what LanceDB was writing, with everything in it that the user said."""
    written(tmp_path)
    unfinished = tmp_path / "turns.lance" / "data" / ".tmpQ1w2E3"
    unfinished.write_bytes(b"what the user said")
    store = open_store(tmp_path)
    assert not unfinished.exists()
    unfinished.write_bytes(b"what the user said")  # as a write does that the disk had no room for
    store.eraser.erase_user(USER)
    assert not unfinished.exists()
