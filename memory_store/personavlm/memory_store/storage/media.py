"""Images, videos and recordings as objects named by their content, a folder for each user.

An object is whole or absent, so one that was not written to its end is not there at all.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence

from personavlm.memory_store.errors import InvalidError, NotFoundError
from personavlm.memory_store.media_types import EXTENSIONS, IMAGES, RECORDINGS
from personavlm.memory_store.records import ImageRef, MediaRef, UserKey
from personavlm.memory_store.storage.objects import MissingError, Objects
from personavlm.memory_store.storage.sealing import InTheClear, Protection

_SHA256 = re.compile(r"[0-9a-f]{64}")


class MediaFolder:
    """``media/<hash of tenant>/<hash of user>/<sha256>.<extension>``.

    Names of tenants and users are hashed, since they may hold anything, path separators included. The
    SHA-256 is that of the image itself; the stored bytes are under the tenant's protection.
    """

    def __init__(self, objects: Objects, protection: Protection = InTheClear()) -> None:
        self._objects = objects
        self._protection = protection

    def put(self, user: UserKey, data: bytes, media_type: str) -> str:
        """Store the bytes; their SHA-256 in hexadecimal. InvalidError for no data or another type."""
        if not data:
            raise InvalidError("there are no bytes to store")
        if media_type not in EXTENSIONS:
            raise InvalidError(f"media are {', '.join(EXTENSIONS)}, not {media_type!r}")
        sha256 = hashlib.sha256(data).hexdigest()
        if not self._has(user, sha256, IMAGES if media_type in IMAGES else RECORDINGS):
            stored = self._protection.seal_bytes(user.tenant, data)
            self._objects.put(f"{_folder(user)}/{sha256}{EXTENSIONS[media_type]}", stored)
        return sha256

    def get(self, user: UserKey, sha256: str) -> bytes:
        """The bytes of one of this user's images, videos or recordings. NotFoundError."""
        return self.get_with_type(user, sha256)[0]

    def get_with_type(self, user: UserKey, sha256: str) -> tuple[bytes, str]:
        """The bytes, and the media type under which they were first stored. NotFoundError."""
        for media_type, key in _keys(user, sha256):
            try:
                stored = self._objects.get(key)
            except MissingError:
                continue
            return self._protection.open_bytes(user.tenant, stored), media_type
        raise NotFoundError(f"no image, video or recording {sha256!r}")

    def require(self, user: UserKey, references: Sequence[ImageRef | MediaRef]) -> None:
        """InvalidError for something that was never stored for this user."""
        for reference in references:
            kind = IMAGES if isinstance(reference, ImageRef) else RECORDINGS
            if not self._has(user, reference.sha256, kind):
                raise InvalidError(
                    f"the {reference.media_type.partition('/')[0]} {reference.sha256!r} was never stored for "
                    "this user"
                )

    def list(self, user: UserKey) -> Iterator[tuple[str, str, int]]:
        """SHA-256, extension (``.png``) and stored bytes of each of this user's images, in no set order."""
        for key, size in self._objects.list(_folder(user)):
            sha256, dot, extension = key.rpartition("/")[2].partition(".")
            yield sha256, dot + extension, size

    def delete(self, user: UserKey, sha256: str) -> None:
        """Remove one image; an absent one is fine."""
        for _, key in _keys(user, sha256):
            self._objects.delete(key)

    def delete_user(self, user: UserKey) -> int:
        """Remove all images of a user; how many."""
        return self._delete_all(_folder(user))

    def delete_tenant(self, tenant: str) -> int:
        """Remove all images of all users of a tenant; how many."""
        return self._delete_all(_tenant_folder(tenant))

    def _delete_all(self, folder: str) -> int:
        keys = [key for key, _ in self._objects.list(folder)]
        for key in keys:
            self._objects.delete(key)
        return len(keys)

    def usage(self, user: UserKey) -> int:
        """Stored bytes of a user's images."""
        return sum(size for _, size in self._objects.list(_folder(user)))

    def tenant_usage(self, tenant: str) -> int:
        """Stored bytes of the images of all users of a tenant."""
        return sum(size for _, size in self._objects.list(_tenant_folder(tenant)))

    def _has(self, user: UserKey, sha256: str, types: Mapping[str, str]) -> bool:
        return any(self._objects.size(key) is not None for _, key in _keys(user, sha256, types))


def _tenant_folder(tenant: str) -> str:
    return f"media/{_hash(tenant)}"


def _folder(user: UserKey) -> str:
    return f"{_tenant_folder(user.tenant)}/{_hash(user.user)}"


def _hash(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def _keys(user: UserKey, sha256: str, types: Mapping[str, str] = EXTENSIONS) -> Iterator[tuple[str, str]]:
    """Of what type it may be, and where; nowhere for what is no digest."""
    if _SHA256.fullmatch(sha256):
        folder = _folder(user)
        yield from ((type_, f"{folder}/{sha256}{extension}") for type_, extension in types.items())
