"""What is no archive, damaged, forged or a trap is refused with a reason, and nothing of it is stored."""

import io
import json
import warnings
import zipfile
from collections.abc import Callable
from typing import Any

import pytest

from personavlm.memory_store import MemoryStore, UserKey
from personavlm.memory_store.lifecycle.archive_reader import ArchiveError
from tests.unit.memory_store.archives import exported, forged, imported, live_a_little, unzipped, zipped

NewUser = Callable[[], UserKey]
Members = dict[str, bytes]


@pytest.fixture(scope="module")
def archive(store: MemoryStore, new_user: NewUser) -> bytes:
    user = new_user()
    live_a_little(store, user)
    store.index(user)
    return exported(store, user, vectors=True)


def refuse(store: MemoryStore, user: UserKey, archive: bytes, reason: str) -> None:
    with pytest.raises(ArchiveError, match=reason):
        imported(store, user, archive)
    assert user not in store.users()
    assert not store.turns(user)
    assert not any(name.startswith("media/") for name in unzipped(exported(store, user)))


def edited(archive: bytes, member: str, line: int, **fields: object) -> bytes:
    """With other values in a line of a table; a field of ``None`` is left out."""

    def change(members: Members) -> None:
        lines = members[member].splitlines()
        row = json.loads(lines[line - 1]) | fields
        lines[line - 1] = json.dumps({k: v for k, v in row.items() if v is not None}).encode()
        members[member] = b"\n".join(lines) + b"\n"

    return forged(archive, change)


def vectors_of(archive: bytes) -> str:
    return next(name for name in unzipped(archive) if name.startswith("vectors_of_texts"))


@pytest.mark.parametrize(
    ("member", "line", "fields", "reason"),
    [
        ("turns.jsonl", 2, {"index": "2"}, "turns.jsonl, line 2, field index: .*integer.*Export again"),
        ("turns.jsonl", 3, {"index": 0}, "turns.jsonl, line 3, field index: 0 is there already"),
        ("turns.jsonl", 1, {"user_text": None}, "line 1, field user_text: Field required"),
        ("turns.jsonl", 1, {"tenant": "x"}, "line 1, field tenant: Extra inputs"),
        ("turns.jsonl", 1, {"event_time": "2026-01-01T00:00:00"}, "field event_time: .*timezone"),
        (
            "turns.jsonl",
            1,
            {"event_time": "0001-01-01T00:00:00+14:00"},
            "field event_time: .*outside the years",
        ),
        ("turns.jsonl", 1, {"utc_offset_minutes": 2**31}, "field utc_offset_minutes: .*less than"),
        ("turns.jsonl", 1, {"id": "a b"}, "field id"),
        ("turns.jsonl", 2, {"images": [{"sha256": "../../etc"}]}, "field images.0.sha256"),
        ("core.jsonl", 1, {"block": "robot"}, "core.jsonl, line 1, field block: .*'human' or 'persona'"),
        ("core.jsonl", 1, {"id": ""}, "core.jsonl, line 1, field version: Extra inputs"),
        ("core.jsonl", 2, {"sequence": 0}, "core.jsonl, line 2, field sequence"),
        ("profile.jsonl", 1, {"traits": [1, 2]}, "profile.jsonl, line 1, field traits"),
    ],
)
def test_a_wrong_line_is_told(
    store: MemoryStore,
    new_user: NewUser,
    archive: bytes,
    member: str,
    line: int,
    fields: dict[str, Any],
    reason: str,
) -> None:
    refuse(store, new_user(), edited(archive, member, line, **fields), reason)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"vector": "AAAA"}, "vector: not 64 numbers"),
        ({"vector": "AADAfw" * 64}, "vector"),
        ({"token_ids": "AAAAAA=="}, "token_vectors: not 64 numbers for each of 1 tokens"),
        ({"sentences": "AQAAAA=="}, "sentences: do not ascend from 0"),
        ({"sentences": None}, "sentences: not both whole numbers"),
    ],
)
def test_a_vector_that_would_break_searches_is_told(
    store: MemoryStore, new_user: NewUser, archive: bytes, fields: dict[str, Any], reason: str
) -> None:
    refuse(store, new_user(), edited(archive, vectors_of(archive), 1, **fields), f"line 1, .*{reason}")


def test_one_memory_is_of_one_kind(store: MemoryStore, new_user: NewUser, archive: bytes) -> None:
    id = json.loads(unzipped(archive)["core.jsonl"].splitlines()[0])["id"]
    refuse(store, new_user(), edited(archive, "procedural.jsonl", 1, id=id), "is a memory of core already")


def test_text_that_is_no_json_or_no_unicode_is_told(
    store: MemoryStore, new_user: NewUser, archive: bytes
) -> None:
    def change(line: bytes) -> Callable[[Members], None]:
        return lambda members: members.update({"links.jsonl": line})

    refuse(store, new_user(), forged(archive, change(b"{\n")), "links.jsonl, line 1, Invalid JSON")
    refuse(store, new_user(), forged(archive, change(b"\xff\n")), "links.jsonl, line 1, Invalid JSON")
    surrogate = b'{"source": "\\ud800"}\n'
    refuse(store, new_user(), forged(archive, change(surrogate)), "links.jsonl, line 1, Invalid JSON")


def test_a_member_that_is_not_what_the_manifest_says(
    store: MemoryStore, new_user: NewUser, archive: bytes
) -> None:
    members = unzipped(archive)
    turns = members["turns.jsonl"].replace(b"noted", b"hated")
    refuse(
        store, new_user(), zipped(members | {"turns.jsonl": turns}), "turns.jsonl is not what the manifest"
    )
    image = next(name for name in members if name.startswith("media/"))
    refuse(store, new_user(), zipped(members | {image: b"another"}), "media/.* is not what the manifest")
    # The manifest may be made to fit; the name of an image still says what it holds.
    forgery = forged(archive, lambda members: members.update({image: b"another"}))
    refuse(store, new_user(), forgery, "media/.* is not what the manifest")


def test_an_archive_that_is_not_whole(store: MemoryStore, new_user: NewUser, archive: bytes) -> None:
    members = unzipped(archive)
    refuse(store, new_user(), archive[: len(archive) // 2], "no ZIP file, or damaged")
    refuse(store, new_user(), b"", "no ZIP file, or damaged")
    without = {name: data for name, data in members.items() if name != "core.jsonl"}
    refuse(store, new_user(), zipped(without), "core.jsonl is not both in the archive and in its manifest")
    del members["manifest.json"]
    refuse(store, new_user(), zipped(members), "no manifest.json")
    broken = bytearray(archive)
    broken[archive.index(b"core.jsonl") + 40] ^= 0xFF
    refuse(store, new_user(), bytes(broken), "core.jsonl|cannot be read")


@pytest.mark.parametrize(
    "name", ["../evil.jsonl", "/etc/passwd", "media/../x.png", "turns.jsonl/", "secrets.jsonl", "C:\\x.jsonl"]
)
def test_names_that_do_not_belong(store: MemoryStore, new_user: NewUser, archive: bytes, name: str) -> None:
    forgery = forged(archive, lambda members: members.update({name: b""}))
    refuse(store, new_user(), forgery, "nothing that belongs")


def test_a_name_that_is_there_twice(store: MemoryStore, new_user: NewUser, archive: bytes) -> None:
    file = io.BytesIO(archive)
    with zipfile.ZipFile(file, "a") as again, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # zipfile warns of what is wanted here
        again.writestr("turns.jsonl", b"")
    refuse(store, new_user(), file.getvalue(), "two members of the archive have one name")


def test_a_bomb_is_not_unpacked(store: MemoryStore, new_user: NewUser, archive: bytes) -> None:
    bomb = forged(archive, lambda members: members.update({"turns.jsonl": b" " * (65 << 20)}))
    assert len(bomb) < 1 << 20
    refuse(store, new_user(), bomb, "would unpack to")


def test_an_endless_line_is_not_read(store: MemoryStore, new_user: NewUser, archive: bytes) -> None:
    line = b" " * (64 << 20)
    bomb = forged(archive, lambda members: members.update({"turns.jsonl": line}))
    refuse(store, new_user(), bomb + b"\0" * 0, "would unpack to|line 1 has more")


def test_other_ways_of_packing(store: MemoryStore, new_user: NewUser, archive: bytes) -> None:
    members = unzipped(archive)
    refuse(store, new_user(), zipped(members, zipfile.ZIP_LZMA), "another method than deflate")


def test_an_archive_of_another_format(store: MemoryStore, new_user: NewUser, archive: bytes) -> None:
    members = unzipped(archive)
    newer = json.dumps(json.loads(members["manifest.json"]) | {"format": 2}).encode()
    refuse(
        store,
        new_user(),
        zipped(members | {"manifest.json": newer}),
        "manifest.json, field format.*reads format 1",
    )
    tenant = json.dumps(json.loads(members["manifest.json"]) | {"kind": "tenant"}).encode()
    refuse(
        store, new_user(), zipped(members | {"manifest.json": tenant}), "archive of a tenant, not of a user"
    )
