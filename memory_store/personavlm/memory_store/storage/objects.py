"""Files by key under one root, be it a local folder or a part of an object store's bucket.

A key is names joined by ``/``; each name holds ASCII letters, digits, ``.``, ``_`` and ``-`` and does not
begin with ``.`` or ``-``. No key may also be the folder of another (``a`` and ``a/b``).
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Protocol, TypeAlias

from personavlm.memory_store.errors import StoreError

Version: TypeAlias = str
"""Which content an object had when it was read; made by ``get_versioned``, understood by ``replace``.

Equal contents may have equal versions: what is replaced by version must never return to an earlier content.
"""

_NAME = r"[A-Za-z0-9_][A-Za-z0-9._-]*"
_KEY = re.compile(f"{_NAME}(/{_NAME})*")


class MissingError(StoreError):
    """There is no such object."""


class ExistsError(StoreError):
    """The object to create exists."""


class ChangedError(StoreError):
    """The object to replace is not of the version that was read: somebody else was faster."""


class Objects(Protocol):
    """Safe with threads and processes. Every write is whole or absent, and durable once it has returned.

    ValueError for a malformed key; StorageError from a bucket and OSError from a folder for a failure that
    is not named below.
    """

    uri: str

    def put(self, key: str, data: bytes) -> None:
        """Write the object, in place of an older one."""

    def create(self, key: str, data: bytes) -> None:
        """Write a new object. ExistsError."""

    def replace(self, key: str, data: bytes, version: Version) -> None:
        """Write the object if it still is of ``version``. ChangedError, for an absent one too."""

    def get(self, key: str) -> bytes:
        """The content. MissingError."""

    def get_versioned(self, key: str) -> tuple[bytes, Version]:
        """The content and its version. MissingError."""

    def get_parts(self, key: str) -> Iterator[bytes]:
        """The content in parts that fit into memory. MissingError."""

    def put_parts(self, key: str, parts: Iterable[bytes]) -> None:
        """Write the object from its parts, in place of an older one; nothing if ``parts`` raises."""

    def size(self, key: str) -> int | None:
        """Bytes of the object; None where it is absent."""

    def delete(self, key: str) -> None:
        """Remove the object; an absent one is fine."""

    def list(self, prefix: str) -> Iterator[tuple[str, int]]:
        """Keys below the folder ``prefix`` (all keys for ``""``) and bytes of each, in no set order."""


def checked_key(key: str) -> str:
    """The key itself. ValueError where it is malformed."""
    if not _KEY.fullmatch(key):
        raise ValueError(f"{key!r} is no key of an object")
    return key


def is_key(key: str) -> bool:
    """Whether an object may have this key."""
    return _KEY.fullmatch(key) is not None


def open_objects(uri: str | Path, options: Mapping[str, str] | None = None) -> Objects:
    """The objects below a local folder (created if absent), ``s3://bucket/prefix`` or ``gs://...``.

    ``options`` are LanceDB's ``storage_options``. ModuleNotFoundError for a bucket without the package
    obstore, ValueError for another scheme or an unknown option.
    """
    scheme, separator, _ = str(uri).partition("://")
    if not separator:
        from personavlm.memory_store.storage.local_objects import LocalObjects

        return LocalObjects(Path(uri))
    if scheme not in ("s3", "gs"):
        raise ValueError(f"a store is a local folder, s3://... or gs://..., not {uri!s}")
    try:
        from personavlm.memory_store.storage.bucket_objects import BucketObjects
    except ModuleNotFoundError as error:
        if error.name != "obstore":
            raise
        message = f"{uri!s} needs the package obstore: pip install 'personavlm[s3]'"
        raise ModuleNotFoundError(message, name="obstore") from error
    return BucketObjects(str(uri), options or {})
