"""Objects in a bucket of an object store (S3 and what speaks its protocol; Google's) through obstore.

Imports the package obstore, which only the extra ``s3`` installs: import this module only for a bucket.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError, UnknownConfigurationKeyError
from obstore.store import from_url

from personavlm.memory_store.errors import StorageError
from personavlm.memory_store.storage.objects import (
    ChangedError,
    ExistsError,
    MissingError,
    Version,
    checked_key,
)

# LanceDB takes these among its storage options; obstore wants them apart from those of the store itself.
_CLIENT_OPTIONS = frozenset(
    {
        "allow_http",
        "allow_invalid_certificates",
        "connect_timeout",
        "proxy_ca_certificate",
        "proxy_excludes",
        "proxy_url",
        "timeout",
        "user_agent",
    }
)
_ONLY_LANCE = frozenset({"client_max_retries", "client_retry_timeout", "download_retry_count"})

_PART_BYTES = 8 << 20

# A caller waits for each of these requests. Four retries take about two seconds of an outage.
_RETRIES: Any = {"max_retries": 4, "retry_timeout": timedelta(seconds=30)}


class BucketObjects:
    """``<uri>/<key>`` for each object. ``options`` are LanceDB's ``storage_options``.

    ValueError for an option that the store does not have.
    """

    def __init__(self, uri: str, options: Mapping[str, str]) -> None:
        options = {name.lower(): value for name, value in options.items()}
        client: Any = {name: value for name, value in options.items() if name in _CLIENT_OPTIONS}
        config: Any = {
            name: value for name, value in options.items() if name not in _CLIENT_OPTIONS | _ONLY_LANCE
        }
        self.uri = uri
        try:
            self._store = from_url(uri, config=config, client_options=client, retry_config=_RETRIES)
        except UnknownConfigurationKeyError as error:
            raise ValueError(f"{uri}: {error}") from error

    def put(self, key: str, data: bytes) -> None:
        """Write the object, in place of an older one."""
        with _translated(key):
            obstore.put(self._store, checked_key(key), data)

    def create(self, key: str, data: bytes) -> None:
        """Write a new object. ExistsError."""
        with _translated(key):
            obstore.put(self._store, checked_key(key), data, mode="create")

    def replace(self, key: str, data: bytes, version: Version) -> None:
        """Write the object if it still is of ``version``. ChangedError, for an absent one too."""
        mode: Any = json.loads(version)
        with _translated(key):
            try:
                obstore.put(self._store, checked_key(key), data, mode=mode)
            except FileNotFoundError as error:
                raise ChangedError(f"{key} is absent from {self.uri}") from error

    def get(self, key: str) -> bytes:
        """The content. MissingError."""
        return self.get_versioned(key)[0]

    def get_parts(self, key: str) -> Iterator[bytes]:
        """The content in parts that fit into memory. MissingError."""
        with _translated(key):
            try:
                found = obstore.get(self._store, checked_key(key))
            except FileNotFoundError as error:
                raise MissingError(f"no object {key!r}") from error
            for part in found.stream(_PART_BYTES):
                yield bytes(part)

    def put_parts(self, key: str, parts: Iterable[bytes]) -> None:
        """Write the object from its parts, in place of an older one; nothing if ``parts`` raises."""
        with _translated(key):
            obstore.put(self._store, checked_key(key), iter(parts), chunk_size=_PART_BYTES)

    def get_versioned(self, key: str) -> tuple[bytes, Version]:
        """The content and its version. MissingError."""
        with _translated(key):
            try:
                found = obstore.get(self._store, checked_key(key))
            except FileNotFoundError as error:
                raise MissingError(f"no object {key!r}") from error
            # Stores tell their versions by one of these or both, and want back what they gave.
            parts = {"e_tag": found.meta["e_tag"], "version": found.meta["version"]}
            version = json.dumps({name: part for name, part in parts.items() if part is not None})
            return bytes(found.bytes()), version

    def size(self, key: str) -> int | None:
        """Bytes of the object; None where it is absent."""
        with _translated(key):
            try:
                return obstore.head(self._store, checked_key(key))["size"]
            except FileNotFoundError:
                return None

    def delete(self, key: str) -> None:
        """Remove the object; an absent one is fine."""
        with _translated(key), suppress(FileNotFoundError):
            obstore.delete(self._store, checked_key(key))

    def list(self, prefix: str) -> Iterator[tuple[str, int]]:
        """Keys below the folder ``prefix`` (all keys for ``""``) and bytes of each, in no set order."""
        with _translated(prefix):
            for found in obstore.list(self._store, checked_key(prefix) if prefix else None):
                yield from ((meta["path"], meta["size"]) for meta in found)


@contextmanager
def _translated(key: str) -> Iterator[None]:
    """Errors of obstore as the store's own."""
    try:
        yield
    except AlreadyExistsError as error:
        raise ExistsError(f"{key} exists already: {error}") from error
    except PreconditionError as error:
        raise ChangedError(f"{key} was changed meanwhile: {error}") from error
    except (BaseError, FileNotFoundError) as error:  # not found here is the bucket itself
        raise StorageError(str(error).partition("\n\nDebug source")[0]) from error
