"""The archive of one user, or of all users of a tenant: a ZIP file that any program can read.

The archive of a user holds

* ``manifest.json``: ``format`` (1), ``kind`` ("user"), ``tenant``, ``user``, ``exported_at``, ``vectors``
  (whether they are included), and ``members``: of each other member its ``bytes``, the ``sha256`` of these
  and, of a table, its ``rows``;
* ``<table>.jsonl`` for ``turns``, the memories ``core``, ``semantic``, ``episodic``, ``procedural``, for
  ``profile``, ``progress`` (of the update stage) and ``links`` (between episodes): a JSON object for each
  row, in the order of writing, in the clear. The fields are those of ``archive_lines.py``, which says what
  they may hold; times are ISO 8601 with their zone. A memory has a line for each of its versions. A line
  with the ``id`` "" says that the step ``source`` was applied and wrote nothing;
* ``media/<sha256>.<png|jpg|webp|mp4|…>``: the user's images, videos and recordings, named by the SHA-256 of
  their bytes;
* if asked for, ``vectors_of_<texts|images>_<digest>.jsonl``: vectors, bytes in Base64 (URL-safe). The
  digest names the model: a store with another one passes them over and encodes anew.

The archive of a tenant holds ``manifest.json`` (``kind`` "tenant", no ``user``) and ``users/<n>.zip``, the
archive of each user.

Nothing of an archive is believed before it was checked, and nothing is unpacked to a disk under a name that
it gives. A file that was cut short has no list of contents, one that was not finished has no manifest.
"""

import hashlib
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import IO, Annotated, Literal, Protocol

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import to_json

from personavlm.memory_store.lifecycle.archive_lines import Sha256
from personavlm.memory_store.media_types import MEDIA_TYPES
from personavlm.memory_store.records import UserKey

FORMAT = 1
MANIFEST = "manifest.json"
NOT_CONTENT = ("uid", "tenant", "user", "epoch", "seq", "sealed")
"""Columns that are the store's own: an archive may go into another user's place in another store."""
_ROWS_AT_ONCE = 1_000

IMAGE_NAME = re.compile(rf"media/([0-9a-f]{{64}})({'|'.join(map(re.escape, MEDIA_TYPES))})")
VECTORS_NAME = re.compile(r"vectors_of_(texts|images)_[0-9a-f]{16}")
USER_NAME = re.compile(r"users/[0-9]+\.zip")


class Member(BaseModel):
    """What the manifest says of a file in the archive; ``rows`` of a table."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    bytes: Annotated[int, Field(ge=0)]
    sha256: Sha256
    rows: Annotated[int, Field(ge=0)] | None = None


class Manifest(BaseModel):
    """What an archive says of itself. ``members`` by name."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Annotated[int, Field(ge=FORMAT, le=FORMAT)] = FORMAT
    kind: Literal["user", "tenant"]
    tenant: str
    user: str = ""
    exported_at: datetime
    vectors: bool = False
    members: dict[str, Member]

    @property
    def rows(self) -> dict[str, int]:
        """Rows by table."""
        return {name.removesuffix(".jsonl"): m.rows for name, m in self.members.items() if m.rows is not None}

    @property
    def images(self) -> frozenset[str]:
        """SHA-256 of each image."""
        return frozenset(found[1] for name in self.members if (found := IMAGE_NAME.fullmatch(name)))


@dataclass(frozen=True, slots=True)
class Image:
    """An image, video or recording of the user; ``extension`` as in ``.png``."""

    sha256: str
    extension: str
    data: bytes

    @property
    def media_type(self) -> str:
        """Its type, as HTTP names it."""
        return MEDIA_TYPES[self.extension]


class Sink(Protocol):
    """What an archive is written to: an open file, or the body of a response."""

    def write(self, data: bytes, /) -> int:
        """Take all of it."""
        ...

    def flush(self) -> None:
        """Pass on what was held back."""
        ...

    def close(self) -> None:
        """End it; nothing here does."""
        ...


class _Hashing:
    """A ``Sink`` that counts and hashes what passes through."""

    def __init__(self, sink: IO[bytes]) -> None:
        self._sink, self._digest, self._bytes = sink, hashlib.sha256(), 0

    def write(self, data: bytes, /) -> int:
        self._digest.update(data)
        self._bytes += len(data)
        return self._sink.write(data)

    def flush(self) -> None:
        self._sink.flush()

    def close(self) -> None:
        self._sink.close()

    def member(self, rows: int | None) -> Member:
        return Member(bytes=self._bytes, sha256=self._digest.hexdigest(), rows=rows)


class _Members:
    """Writes members one after the other, and in the end the manifest that lists them."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self.written: dict[str, Member] = {}

    @contextmanager
    def open(self, name: str, rows: int | None = None, *, packed: bool = False) -> Iterator[Sink]:
        """A new member, to be written within the block."""
        info = zipfile.ZipInfo(name)
        info.compress_type = zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED
        with self._archive.open(info, "w", force_zip64=True) as stream:
            hashing = _Hashing(stream)
            yield hashing
        self.written[name] = hashing.member(rows)

    def finish(self, manifest: Manifest) -> Manifest:
        """Write the manifest."""
        text = manifest.model_dump_json(indent=1, exclude_none=True)
        self._archive.writestr(zipfile.ZipInfo(MANIFEST), text, zipfile.ZIP_DEFLATED)
        return manifest


def write_user(
    file: Sink, owner: UserKey, now: datetime, tables: Mapping[str, pa.Table], images: Iterable[Image]
) -> Manifest:
    """Write the archive of a user from his rows, in order, and his images; one of these at a time in memory.

    ``file`` need not be seekable. Should this raise, what was written is no archive.
    """
    with zipfile.ZipFile(file, "w") as archive:
        members = _Members(archive)
        for name, rows in tables.items():
            with members.open(f"{name}.jsonl", rows.num_rows, packed=True) as member:
                for line in _lines(rows):
                    member.write(line)
        for image in images:
            with members.open(f"media/{image.sha256}{image.extension}") as member:
                member.write(image.data)
        return members.finish(
            Manifest(
                kind="user",
                tenant=owner.tenant,
                user=owner.user,
                exported_at=now,
                vectors=any(VECTORS_NAME.fullmatch(name) for name in tables),
                members=members.written,
            )
        )


def write_tenant(
    file: Sink, tenant: str, now: datetime, users: Iterable[Callable[[Sink], object]], *, vectors: bool
) -> Manifest:
    """Write the archive of a tenant; each of ``users`` writes the archive of one of its users."""
    with zipfile.ZipFile(file, "w") as archive:
        members = _Members(archive)
        for number, write in enumerate(users):
            with members.open(f"users/{number}.zip") as member:
                write(member)
        return members.finish(
            Manifest(kind="tenant", tenant=tenant, exported_at=now, vectors=vectors, members=members.written)
        )


def _lines(rows: pa.Table) -> Iterator[bytes]:
    content = rows.select([name for name in rows.schema.names if name not in NOT_CONTENT])
    for batch in content.to_batches(max_chunksize=_ROWS_AT_ONCE):
        for row in batch.to_pylist():
            said = {name: value for name, value in row.items() if value is not None}
            if "vector" in said:
                said["vector"] = np.array(said["vector"], "<f4").tobytes()
            yield to_json(said, bytes_mode="base64") + b"\n"
