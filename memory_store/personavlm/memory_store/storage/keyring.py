"""The keys of encryption at rest: one data key per tenant, under one root key, under the master key.

* The *master key* is the operator's: 32 bytes from an environment variable or a file, never stored here.
* The *root key* is random and stands in ``keys/root.json``, encrypted under the master key. It lets the
  master key be changed in one atomic step, however many tenants there are.
* A *data key* is random and stands in ``keys/<sha256 of the tenant>.json``, encrypted under the root key.

Dropping a data key puts a tombstone in its place. What it sealed can then be read by nobody, unless the
object was copied before: keep ``keys/`` out of backups of the data, and out of a bucket's old versions.
"""

import base64
import binascii
import hashlib
import hmac
import os
import re
import stat
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Literal, Self

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import BaseModel, ConfigDict, ValidationError

from personavlm.memory_store.errors import DamagedError, StoreError
from personavlm.memory_store.storage.objects import ExistsError, MissingError, Objects, Version
from personavlm.memory_store.storage.sealing import (
    KEY_ID_BYTES,
    DataKey,
    Sealer,
    UnreadableError,
    decrypted,
    encrypted,
)

FOLDER = "keys"
ROOT = f"{FOLDER}/root.json"
KEY_BYTES = 32
_ROOT_IDENTITY = b"root key"


class MasterKeyError(StoreError):
    """The master key is missing, malformed, open to others, or not the one that these keys are under."""


class KeyDroppedError(UnreadableError):
    """The tenant's key was dropped. What it sealed is gone for good."""


@dataclass(frozen=True, slots=True)
class MasterKey:
    """The operator's key, 32 bytes; ``repr`` does not show it. MasterKeyError for another length."""

    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.secret) != KEY_BYTES:
            raise MasterKeyError(f"a master key has {KEY_BYTES} bytes, not {len(self.secret)}")

    @classmethod
    def parse(cls, text: str) -> Self:
        """From 64 hexadecimal digits or from Base64, white space around it ignored. MasterKeyError."""
        text = text.strip()
        if re.fullmatch("[0-9a-fA-F]{64}", text):
            return cls(bytes.fromhex(text))
        try:
            return cls(base64.b64decode(text, validate=True))
        except (binascii.Error, ValueError):  # what was given stays out of the message
            raise MasterKeyError("a master key is 64 hexadecimal digits, or 32 bytes in Base64") from None

    @classmethod
    def from_environment(cls, variable: str) -> Self:
        """From a variable of the environment. MasterKeyError."""
        text = os.environ.get(variable)
        if not text:
            raise MasterKeyError(f"the environment variable {variable} is not set")
        return cls.parse(text)

    @classmethod
    def from_file(cls, path: Path) -> Self:
        """From a file that nobody but its owner may use (``chmod 600``). MasterKeyError."""
        try:
            with path.open("rb") as file:
                mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
                if mode & (stat.S_IRWXG | stat.S_IRWXO):
                    raise MasterKeyError(f"others may use {path} (mode {mode:03o}): chmod 600 {path}")
                return cls.parse(file.read().decode("ascii", errors="replace"))
        except OSError as error:
            raise MasterKeyError(f"the master key cannot be read: {error}") from error

    @property
    def fingerprint(self) -> str:
        """Tells master keys apart and gives none away."""
        return hmac.digest(self.secret, b"personavlm master key", "sha256").hex()[:16]


class _Stored(BaseModel):
    """An object of the keyring: JSON, bytes in it as Base64."""

    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_bytes="base64", val_json_bytes="base64")

    format: Literal[1] = 1

    @classmethod
    def of(cls, key: str, data: bytes) -> Self:
        try:
            return cls.model_validate_json(data)
        except ValidationError as error:
            raise DamagedError(f"{key} makes no sense") from error

    def data(self) -> bytes:
        return self.model_dump_json(indent=1).encode()


class _StoredRoot(_Stored):
    """The root key, encrypted under the master key of this fingerprint."""

    master: str
    wrapped: bytes


class _StoredKey(_Stored):
    """A tenant's data key; without ``wrapped``, the tombstone of one. ``dropped`` are ids of former keys."""

    id: bytes = b""
    wrapped: bytes = b""
    dropped: tuple[bytes, ...] = ()

    @classmethod
    def new(cls, tenant: str, root: AESGCM, dropped: tuple[bytes, ...] = ()) -> Self:
        id = os.urandom(KEY_ID_BYTES)
        secret = AESGCM.generate_key(8 * KEY_BYTES)
        return cls(id=id, wrapped=encrypted(root, secret, _identity(tenant, id)), dropped=dropped)


class Keyring:
    """``DataKeys`` in a store. Safe with threads and processes.

    A key that was used stays in memory. After ``drop``, every other process with a keyring has to ``forget``
    the tenant, or it goes on reading until it ends.
    """

    def __init__(self, objects: Objects, root_key: bytes) -> None:
        self._objects, self._root_key = objects, root_key
        self._root = AESGCM(root_key)
        self._keys: dict[str, DataKey] = {}
        self._changing = Lock()  # what is put into memory is what is stored
        self.sealer = Sealer(self)

    @classmethod
    def open(cls, objects: Objects, master: MasterKey) -> Self:
        """Open the keys below ``keys/``, or begin with none.

        MasterKeyError for another master key than theirs; DamagedError for a root key that is gone or
        makes no sense.
        """
        # Listed before it is read: where a tenant's key stands, the root key was there before.
        if objects.size(ROOT) is None and not any(objects.list(FOLDER)):
            with suppress(ExistsError):  # another process was faster
                objects.create(ROOT, _wrapped_root(AESGCM.generate_key(8 * KEY_BYTES), master))
        try:
            data = objects.get(ROOT)
        except MissingError as error:
            raise DamagedError(f"{ROOT} is gone: without it, the keys beside it cannot be read") from error
        return cls(objects, _root_key(data, master))

    def rewrap(self, master: MasterKey) -> None:
        """Change the master key, in one step; from then on the former one opens nothing.

        Keyrings that are open stay so. Whoever has the former master key *and* an earlier copy of
        ``keys/root.json`` can still read. ChangedError where somebody else did the same at this moment.
        """
        _, version = self._objects.get_versioned(ROOT)
        self._objects.replace(ROOT, _wrapped_root(self._root_key, master), version)

    def create(self, tenant: str) -> None:
        """Give the tenant a key, a new one if the last was dropped. ExistsError where there is one.

        Tenants who never had one get it with their first write. What a dropped key sealed stays unreadable,
        and so do users with such rows: erase the tenant first.
        """
        with self._changing:
            found = self._stored(tenant)
            if found is None:
                self._objects.create(_object_of(tenant), _StoredKey.new(tenant, self._root).data())
                return
            stored, version = found
            if stored.wrapped:
                raise ExistsError(f"the tenant {tenant!r} has a key")
            new = _StoredKey.new(tenant, self._root, stored.dropped)
            self._objects.replace(_object_of(tenant), new.data(), version)

    def drop(self, tenant: str) -> None:
        """Destroy the tenant's key: what it sealed is unreadable once this has returned.

        New writes of the tenant are refused until ``create``. ChangedError where somebody else created or
        dropped the key at this moment.
        """
        with self._changing:
            self._keys.pop(tenant, None)
            found = self._stored(tenant)
            if found is None:
                self._objects.create(_object_of(tenant), _StoredKey().data())
            elif found[0].wrapped:
                stored, version = found
                tombstone = _StoredKey(dropped=(*stored.dropped, stored.id))
                self._objects.replace(_object_of(tenant), tombstone.data(), version)

    def forget(self, tenant: str) -> None:
        """Look at the tenant's stored key anew, next time."""
        with self._changing:
            self._keys.pop(tenant, None)

    def sealing_key(self, tenant: str) -> DataKey:
        """The tenant's key, made now if the tenant never had one. KeyDroppedError where it was dropped."""
        key = self._keys.get(tenant)
        if key is None:
            with self._changing:
                key = self._load(tenant) or self._make(tenant)
        return key

    def opening_key(self, tenant: str, id: bytes) -> DataKey:
        """The tenant's key of this id. KeyDroppedError where it was dropped, else UnreadableError."""
        key = self._keys.get(tenant)
        if key is None or key.id != id:  # another process may have dropped a key and made one
            with self._changing:
                key = self._load(tenant, id)
        if key is None or key.id != id:
            raise UnreadableError(f"the tenant {tenant!r} has no key {id.hex()}")
        return key

    def _make(self, tenant: str) -> DataKey:
        with suppress(ExistsError):  # another process was faster
            self._objects.create(_object_of(tenant), _StoredKey.new(tenant, self._root).data())
        key = self._load(tenant)
        if key is None:
            raise UnreadableError(f"the key of the tenant {tenant!r} was removed as it was made")
        return key

    def _load(self, tenant: str, wanted: bytes = b"") -> DataKey | None:
        """Take the stored key into memory; None where there never was one.

        KeyDroppedError where it was dropped, or the one ``wanted`` was.
        """
        self._keys.pop(tenant, None)
        found = self._stored(tenant)
        if found is None:
            return None
        stored, _ = found
        if not stored.wrapped or wanted in stored.dropped:
            raise KeyDroppedError(f"the key of the tenant {tenant!r} was dropped: what it sealed is gone")
        try:
            secret = decrypted(self._root, stored.wrapped, _identity(tenant, stored.id))
        except UnreadableError as error:
            raise DamagedError(f"{_object_of(tenant)} was changed, or belongs to another keyring") from error
        return self._keys.setdefault(tenant, DataKey(stored.id, AESGCM(secret)))

    def _stored(self, tenant: str) -> tuple[_StoredKey, Version] | None:
        key = _object_of(tenant)
        try:
            data, version = self._objects.get_versioned(key)
        except MissingError:
            return None
        return _StoredKey.of(key, data), version


def _object_of(tenant: str) -> str:
    return f"{FOLDER}/{_digest(tenant)}.json"


def _digest(tenant: str) -> str:
    return hashlib.sha256(tenant.encode(errors="surrogatepass")).hexdigest()


def _identity(tenant: str, id: bytes) -> bytes:
    """What a wrapped data key is bound to."""
    return b"data key " + _digest(tenant).encode() + id


def _wrapped_root(root_key: bytes, master: MasterKey) -> bytes:
    wrapped = encrypted(AESGCM(master.secret), root_key, _ROOT_IDENTITY)
    return _StoredRoot(master=master.fingerprint, wrapped=wrapped).data()


def _root_key(data: bytes, master: MasterKey) -> bytes:
    stored = _StoredRoot.of(ROOT, data)
    if stored.master != master.fingerprint:
        raise MasterKeyError(
            f"{ROOT} is under another master key ({stored.master}, not {master.fingerprint})"
        )
    try:
        return decrypted(AESGCM(master.secret), stored.wrapped, _ROOT_IDENTITY)
    except UnreadableError as error:
        raise DamagedError(f"{ROOT} was changed") from error
