"""Images as files named by their content, a folder for each user.

A file is written under another name, flushed, then renamed: under its own name it is always whole.
"""

import hashlib
import os
import re
import uuid
from collections.abc import Sequence
from pathlib import Path

from personavlm.memory_store.errors import InvalidError, NotFoundError
from personavlm.memory_store.records import ImageRef, UserKey

EXTENSIONS = {"image/png": ".png", "image/jpeg": ".jpg", "image/webp": ".webp"}
_SHA256 = re.compile(r"[0-9a-f]{64}")


class MediaFolder:
    """``<folder>/<hash of tenant>/<hash of user>/<sha256>.<extension>``; unfinished files in ``tmp``.

    Names of tenants and users are hashed, since they may hold anything, path separators included.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._unfinished = folder / "tmp"
        self._unfinished.mkdir(parents=True, exist_ok=True)
        for leftover in self._unfinished.iterdir():
            leftover.unlink()

    def put(self, user: UserKey, data: bytes, media_type: str) -> str:
        """Store the bytes; their SHA-256 in hexadecimal. InvalidError for no data or another type."""
        if not data:
            raise InvalidError("the image is empty")
        if media_type not in EXTENSIONS:
            raise InvalidError(f"images are {', '.join(EXTENSIONS)}, not {media_type!r}")
        sha256 = hashlib.sha256(data).hexdigest()
        if self._find(user, sha256) is None:
            self._write(self._of(user) / f"{sha256}{EXTENSIONS[media_type]}", data)
        return sha256

    def get(self, user: UserKey, sha256: str) -> bytes:
        """The bytes of one of this user's images. NotFoundError."""
        path = self._find(user, sha256)
        if path is None:
            raise NotFoundError(f"no image {sha256!r}")
        return path.read_bytes()

    def require(self, user: UserKey, images: Sequence[ImageRef]) -> None:
        """InvalidError for an image that was never stored for this user."""
        for image in images:
            if self._find(user, image.sha256) is None:
                raise InvalidError(f"the image {image.sha256!r} was never stored for this user")

    def _of(self, user: UserKey) -> Path:
        hashes = (hashlib.sha256(name.encode()).hexdigest() for name in (user.tenant, user.user))
        return self._folder.joinpath(*hashes)

    def _find(self, user: UserKey, sha256: str) -> Path | None:
        if not _SHA256.fullmatch(sha256):
            return None
        paths = (self._of(user) / f"{sha256}{extension}" for extension in EXTENSIONS.values())
        return next((path for path in paths if path.exists()), None)

    def _write(self, path: Path, data: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = self._unfinished / uuid.uuid4().hex
        with unfinished.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        unfinished.rename(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
