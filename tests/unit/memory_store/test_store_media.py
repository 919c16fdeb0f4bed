from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from personavlm.memory_store import InvalidError, MemoryStore, NotFoundError, UserKey
from personavlm.memory_store.storage.local_objects import LocalObjects
from personavlm.memory_store.storage.media import MediaFolder

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
