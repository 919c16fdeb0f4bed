"""Images of a run, kept once by content, so that trajectories and data carry names instead of pixels."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile

_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class ImageFolder:
    """Files named by the SHA-256 of their bytes. Any number of processes may add to it at once."""

    path: Path

    def add(self, data: bytes) -> str:
        """Keep the bytes; their name. A file is whole or absent."""
        name = hashlib.sha256(data).hexdigest()
        if not (self.path / name).exists():
            self.path.mkdir(parents=True, exist_ok=True)
            with NamedTemporaryFile(dir=self.path, prefix=".", delete=False) as file:
                file.write(data)
            os.replace(file.name, self.path / name)
        return name

    def read(self, name: str) -> bytes:
        """The bytes. Raises `LookupError` for a name that was never added."""
        if not _SHA256.fullmatch(name):
            raise LookupError(f"an image is named by the SHA-256 of its bytes, not {name!r}")
        try:
            return (self.path / name).read_bytes()
        except FileNotFoundError:
            raise LookupError(f"{self.path} holds no image {name}") from None

    def __contains__(self, name: str) -> bool:
        return bool(_SHA256.fullmatch(name)) and (self.path / name).is_file()
