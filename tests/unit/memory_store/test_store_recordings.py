"""Videos and recordings are kept beside turns, and crops beside memories: stored, read, moved, erased."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest

from personavlm.memory_store import (
    Add,
    Crop,
    ImageRef,
    InvalidError,
    MediaRef,
    MemoryKind,
    MemoryStore,
    NotFoundError,
    SemanticMemory,
    Turn,
    TurnDraft,
    UserKey,
    Window,
)
from personavlm.memory_store.lifecycle.retention import Retention
from personavlm.memory_store.media_types import RECORDINGS
from personavlm.memory_store.storage.settings import StorageSettings
from tests.unit.memory_store.archives import exported, forged, imported
from tests.unit.memory_store.encoders import close_stores, open_store
from tests.unit.memory_store.sealed_rows import new_sealer
from tests.unit.memory_store.steps import day

ANN, BOB = UserKey("tenant", "ann"), UserKey("tenant", "bob")


@pytest.fixture
def store(tmp_path: Path) -> MemoryStore:
    return open_store(tmp_path / "store")


def film(store: MemoryStore, user: UserKey, number: int) -> tuple[Turn, SemanticMemory]:
    """A turn with a video, its frame and a recording, and a concept cut out of the frame."""
    clip = store.put_recording(user, b"film %d" % number, "video/mp4", 2.5)
    sound = store.put_recording(user, b"sound %d" % number, "audio/wav")
    frame = store.put_image(user, b"frame %d" % number, "image/jpeg", 9, 9)
    draft = TurnDraft(f"my mug {number}", "I see.", day(number), (frame,), attachments=(clip, sound))
    turn = store.append_turn(user, draft)
    part = store.put_image(user, b"crop %d" % number, "image/png", 4, 4)
    crop = Crop(part.sha256, frame.sha256, (1, 2, 5, 6))
    add = Add("the mug", turn.event_time, (turn.id,), category="concept", images=(part,), crops=(crop,))
    [memory] = store.apply(user, MemoryKind.SEMANTIC, f"turn:{turn.id}", [add])
    assert isinstance(memory, SemanticMemory)
    return turn, memory


def held(store: MemoryStore, user: UserKey) -> set[bytes]:
    return {store.media(user, sha256)[0] for sha256, _, _ in store._shard.media.list(user)}


def parts(number: int) -> set[bytes]:
    return {b"%s %d" % (name, number) for name in (b"film", b"sound", b"frame", b"crop")}


def test_what_was_stored_is_read_back(store: MemoryStore, tmp_path: Path) -> None:
    turn, memory = film(store, ANN, 1)
    [clip, sound] = turn.attachments
    assert (clip.media_type, clip.seconds, sound.media_type) == ("video/mp4", 2.5, "audio/wav")
    for _ in range(2):  # by what is in memory, then by what the tables hold
        assert store.turns(ANN) == (turn,) and store.memories(ANN) == (memory,)
        assert store.media(ANN, clip.sha256) == (b"film 1", "video/mp4")
        assert store.media(ANN, turn.images[0].sha256) == (b"frame 1", "image/jpeg")
        close_stores(tmp_path / "store")
        store = open_store(tmp_path / "store")


def test_they_are_their_owners_alone(store: MemoryStore) -> None:
    turn, _ = film(store, ANN, 1)
    with pytest.raises(NotFoundError):
        store.media(BOB, turn.attachments[0].sha256)
    with pytest.raises(InvalidError, match=r"video .* never stored"):
        store.append_turn(BOB, TurnDraft("mine", "", attachments=turn.attachments))


def test_a_recording_alone_is_a_turn(store: MemoryStore) -> None:
    sound = store.put_recording(ANN, b"hum", "audio/ogg")
    assert store.append_turn(ANN, TurnDraft("", "", attachments=(sound,))).attachments == (sound,)
    with pytest.raises(InvalidError, match="a turn needs"):
        store.append_turn(ANN, TurnDraft(" ", ""))


@pytest.mark.parametrize("media_type", ["image/png", "video/x-msvideo", "", "../mp4"])
def test_other_types_are_refused(store: MemoryStore, media_type: str) -> None:
    with pytest.raises(InvalidError):
        store.put_recording(ANN, b"film", media_type)
    with pytest.raises(InvalidError):
        store.put_image(ANN, b"film", "video/mp4", 1, 1)


def test_a_reference_of_another_kind_is_not_enough(store: MemoryStore) -> None:
    clip = store.put_recording(ANN, b"film", "video/mp4")
    with pytest.raises(InvalidError):
        store.append_turn(ANN, TurnDraft("", "", images=(ImageRef(clip.sha256, "image/png", 1, 1),)))
    image = store.put_image(ANN, b"image", "image/png", 1, 1)
    with pytest.raises(InvalidError):
        store.append_turn(ANN, TurnDraft("", "", attachments=(MediaRef(image.sha256, "video/mp4"),)))


def test_all_of_it_goes_with_its_turn(store: MemoryStore) -> None:
    for number in (1, 2):
        film(store, ANN, number)
    receipt = store.eraser.erase_range(ANN, Window(day(1), day(1)))
    assert receipt.images == 4 and held(store, ANN) == parts(2)


def test_a_video_of_two_turns_stays_with_the_other(store: MemoryStore) -> None:
    clip = store.put_recording(ANN, b"film", "video/webm")
    for number in (1, 2):
        store.append_turn(ANN, TurnDraft("see", "", day(number), attachments=(clip,)))
    store.eraser.erase_range(ANN, Window(day(1), day(1)))
    assert held(store, ANN) == {b"film"}
    store.eraser.erase_range(ANN, Window(day(2), day(2)))
    assert held(store, ANN) == set()


def test_a_crop_goes_with_its_memory(store: MemoryStore) -> None:
    _, memory = film(store, ANN, 1)
    store.eraser.erase_memory(ANN, memory.id)
    assert held(store, ANN) == parts(1) - {b"crop 1"}


def test_a_user_goes_whole(store: MemoryStore) -> None:
    film(store, ANN, 1)
    film(store, BOB, 1)
    assert store.eraser.erase_user(ANN).images == 4
    assert held(store, ANN) == set() and held(store, BOB) == parts(1)


def test_they_travel_in_archives(store: MemoryStore) -> None:
    turn, memory = film(store, ANN, 1)
    imported(store, BOB, exported(store, ANN))
    [brought], [concept] = store.turns(BOB), store.memories(BOB, MemoryKind.SEMANTIC)
    assert brought.attachments == turn.attachments and brought.images == turn.images
    assert isinstance(concept, SemanticMemory)
    assert (concept.images, concept.crops) == (memory.images, memory.crops)
    assert held(store, BOB) == parts(1)
    assert store.media(BOB, turn.attachments[1].sha256) == (b"sound 1", "audio/wav")


def test_an_archive_from_before_there_were_any_is_taken_in(store: MemoryStore) -> None:
    turn = store.append_turn(ANN, TurnDraft("a word", "noted"))

    def without(members: dict[str, bytes]) -> None:
        lines = [json.loads(line) for line in members["turns.jsonl"].splitlines()]
        for line in lines:
            line.pop("attachments", None)
        members["turns.jsonl"] = b"".join(json.dumps(line).encode() + b"\n" for line in lines)

    imported(store, BOB, forged(exported(store, ANN), without))
    assert store.turns(BOB) == (turn,)


def test_a_memory_that_outlasts_its_turn_keeps_its_crop(store: MemoryStore) -> None:
    film(store, ANN, 1)
    store.expiry.apply(Retention(turns=timedelta(days=30)), day(60))
    assert store.turns(ANN) == () and held(store, ANN) == {b"crop 1"}


def test_they_are_sealed_and_opened(tmp_path: Path) -> None:
    with new_sealer() as sealer:
        store = open_store(tmp_path, storage=StorageSettings(protection=sealer))
        turn, memory = film(store, ANN, 1)
        store.flush()
        store.evict()
        assert store.turns(ANN) == (turn,) and store.memories(ANN) == (memory,)
        files = [path for path in (tmp_path / "media").rglob("*") if path.is_file()]
        assert len(files) == 4 and not any(b"film" in path.read_bytes() for path in files)
        close_stores(tmp_path)


@pytest.mark.parametrize("media_type", sorted(RECORDINGS))
def test_every_type_that_is_kept_comes_back_as_it_is(store: MemoryStore, media_type: str) -> None:
    ref = store.put_recording(ANN, media_type.encode(), media_type)
    assert store.media(ANN, ref.sha256) == (media_type.encode(), media_type)
