from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from personavlm.memory_store import InvalidError, MemoryStore, NotFoundError, UserKey
from personavlm.memory_store.storage.local_objects import LocalObjects
from personavlm.memory_store.storage.media import MediaFolder
from tests.unit.memory_store.sealed_rows import new_sealer

NewUser = Callable[[], UserKey]


def test_an_image_is_named_by_its_content(store: MemoryStore, new_user: NewUser) -> None:
    user = new_user()
    image = store.put_image(user, b"pixels", "image/jpeg", 8, 6, "a dog")
    assert image.sha256 == sha256(b"pixels").hexdigest()
    assert (image.media_type, image.width, image.height, image.caption) == ("image/jpeg", 8, 6, "a dog")
    assert store.put_image(user, b"pixels", "image/jpeg", 8, 6, "another caption").sha256 == image.sha256
    assert store.image(user, image.sha256) == b"pixels"


def test_an_image_is_its_owners_alone(store: MemoryStore, new_user: NewUser) -> None:
    user = new_user()
    image = store.put_image(user, b"secret", "image/png", 1, 1)
    for other in (new_user(), UserKey("other tenant", user.user)):
        with pytest.raises(NotFoundError):
            store.image(other, image.sha256)


@pytest.mark.parametrize("name", ["", "..", "../../turns.lance", "a" * 63, "A" * 64, "a" * 64 + "\n"])
def test_only_a_digest_names_an_image(store: MemoryStore, new_user: NewUser, name: str) -> None:
    with pytest.raises(NotFoundError):
        store.image(new_user(), name)


@pytest.mark.parametrize(("data", "media_type"), [(b"", "image/png"), (b"x", "image/gif"), (b"x", "../png")])
def test_other_data_is_refused(store: MemoryStore, new_user: NewUser, data: bytes, media_type: str) -> None:
    with pytest.raises(InvalidError):
        store.put_image(new_user(), data, media_type, 1, 1)


def test_names_of_users_stay_out_of_paths(tmp_path: Path) -> None:
    media = MediaFolder(LocalObjects(tmp_path))
    user = UserKey("../..", "/etc/passwd\0")
    digest = media.put(user, b"x", "image/png")
    assert media.get(user, digest) == b"x"
    (file,) = (path for path in (tmp_path / "media").rglob("*") if path.is_file())
    assert file.name == f"{digest}.png" and all(len(part) == 64 for part in file.parts[-3:-1])


@pytest.fixture
def media(tmp_path: Path) -> MediaFolder:
    return MediaFolder(LocalObjects(tmp_path))


ANN, BOB = UserKey("tenant", "ann"), UserKey("tenant", "bob")


def digest(data: bytes) -> str:
    return sha256(data).hexdigest()


def test_images_are_listed_and_counted(media: MediaFolder) -> None:
    media.put(ANN, b"one", "image/png")
    media.put(ANN, b"three", "image/webp")
    media.put(ANN, b"three", "image/png")  # is there already
    media.put(BOB, b"four", "image/jpeg")
    media.put(UserKey("another", "ann"), b"other", "image/jpeg")
    assert set(media.list(ANN)) == {(digest(b"one"), ".png", 3), (digest(b"three"), ".webp", 5)}
    assert (media.usage(ANN), media.usage(BOB), media.tenant_usage("tenant")) == (8, 4, 12)
    assert media.usage(UserKey("tenant", "nobody")) == media.tenant_usage("nobody") == 0


def test_a_deleted_image_is_gone(media: MediaFolder) -> None:
    for user in (ANN, BOB):
        for data in (b"one", b"two"):
            media.put(user, data, "image/jpeg")
    media.delete(ANN, digest(b"one"))
    media.delete(ANN, digest(b"one"))
    media.delete(ANN, "no digest")
    with pytest.raises(NotFoundError):
        media.get(ANN, digest(b"one"))
    assert media.get(ANN, digest(b"two")) == b"two" and media.get(BOB, digest(b"one")) == b"one"
    assert media.put(ANN, b"one", "image/png") == digest(b"one")
    assert media.get(ANN, digest(b"one")) == b"one"


def test_nothing_is_left_of_a_deleted_user(media: MediaFolder, tmp_path: Path) -> None:
    media.put(ANN, b"one", "image/png")
    media.put(ANN, b"two", "image/jpeg")
    media.put(BOB, b"one", "image/png")
    media.delete_user(ANN)
    assert list(media.list(ANN)) == [] and media.usage(ANN) == 0
    assert media.get(BOB, digest(b"one")) == b"one"
    name = digest(b"ann")
    assert not [path for path in tmp_path.rglob("*") if path.name == name]
    media.delete_user(ANN)


def test_images_are_stored_sealed(tmp_path: Path) -> None:
    with new_sealer() as sealer:
        media = MediaFolder(LocalObjects(tmp_path), sealer)
        name = media.put(ANN, b"pixels", "image/png")
        assert name == digest(b"pixels") and media.get(ANN, name) == b"pixels"
        assert media.put(ANN, b"pixels", "image/png") == name
        (path,) = (path for path in (tmp_path / "media").rglob("*") if path.is_file())
        assert b"pixels" not in path.read_bytes()
        assert sealer.open_bytes(ANN.tenant, path.read_bytes()) == b"pixels"
        assert list(media.list(ANN)) == [(name, ".png", path.stat().st_size)]


def test_an_image_that_is_being_written_is_not_there(tmp_path: Path) -> None:
    unfinished = tmp_path / ".objects" / "unfinished" / "half"
    media = MediaFolder(LocalObjects(tmp_path))
    media.put(ANN, b"one", "image/png")
    unfinished.write_bytes(b"tw")
    assert media.tenant_usage("tenant") == 3
    MediaFolder(LocalObjects(tmp_path))
    assert not unfinished.exists()
