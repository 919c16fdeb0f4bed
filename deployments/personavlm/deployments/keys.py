"""API keys: created once, shown once, kept as hashes, each belonging to a tenant."""

from __future__ import annotations

import hashlib
import os
import secrets
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from personavlm.platform.errors import CommandError

PREFIX = "pvlm-"


class KeysFileError(CommandError):
    """The file of keys cannot be read or is not ours."""


class KeyRecord(BaseModel):
    """What is kept of a key. The key itself is 256 random bits, so a plain hash is enough."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    tenant: str = Field(min_length=1, max_length=128)
    replay: bool = False
    """May state when things happened: `event_time`, imported turns, sessions closed by hand."""
    name: str = ""
    created: datetime


class KeysFile(BaseModel):
    """The whole file."""

    model_config = ConfigDict(extra="forbid")

    keys: list[KeyRecord] = []


@dataclass(frozen=True, slots=True)
class Credential:
    """Who is calling."""

    tenant: str
    replay: bool


def create_key(path: Path, tenant: str, *, replay: bool = False, name: str = "") -> str:
    """Add a key to the file (created with mode 0600 if new) and return it; it cannot be read again."""
    content = _read(path) if path.exists() else KeysFile()
    key = PREFIX + secrets.token_urlsafe(32)
    record = KeyRecord(
        sha256=_digest(key), tenant=tenant, replay=replay, name=name, created=datetime.now(UTC)
    )
    _write(path, KeysFile(keys=[*content.keys, record]))
    return key


class KeyRing:
    """Checks keys against the file, which may change while the service runs."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, int] | None = None
        self._keys: dict[str, Credential] = {}

    def verify(self, key: str) -> Credential | None:
        """The credential of a key, or ``None``. A missing file admits nobody."""
        self._refresh()
        return self._keys.get(_digest(key))

    def _refresh(self) -> None:
        try:
            status = self._path.stat()
        except FileNotFoundError:
            self._stamp, self._keys = None, {}
            return
        stamp = (status.st_mtime_ns, status.st_ino)
        if stamp != self._stamp:
            records = _read(self._path).keys
            self._keys = {record.sha256: Credential(record.tenant, record.replay) for record in records}
            self._stamp = stamp


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def _read(path: Path) -> KeysFile:
    try:
        return KeysFile.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ValidationError) as error:
        raise KeysFileError(f"{path}: not a readable file of keys: {error}") from error


def _write(path: Path, content: KeysFile) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".keys-")  # mode 0600
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(content.model_dump_json(indent=2))
        file.flush()
        os.fsync(file.fileno())
    Path(name).replace(path)
