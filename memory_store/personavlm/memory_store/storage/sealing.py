"""Encryption at rest: rows and media sealed with AES-256-GCM (NIST SP 800-38D) under their tenant's key.

Sealed bytes are ``magic (4) | key id (8) | nonce (12) | ciphertext | tag (16)``. The tag also covers magic
and key id, and what the bytes belong to: a row's blob opens in its own row only. Nonces are random, which is
safe for 2**32 sealings under one key (section 8.3 there).

Of a row, the columns in ``CLEAR`` stay readable, because the store filters, sorts, counts and erases by them
without a key. All others are content and go into the one blob of the column ``sealed``, the digest of a
text among them: who has a digest can try out short texts. Lengths are not hidden.
"""

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import msgpack  # type: ignore[import-untyped]  # it brings no types
import numpy as np
import pyarrow as pa
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from personavlm.memory_store.errors import InvalidError, StoreError
from personavlm.memory_store.storage.tables import Row, arrow_table
from personavlm.memory_store.times import microseconds

MAGIC = b"\x93PS\x01"  # no image and no UTF-8 text begins like this; the last byte counts versions
KEY_ID_BYTES = 8
NONCE_BYTES = 12
_HEADER_BYTES = len(MAGIC) + KEY_ID_BYTES
_VECTOR = 1  # MessagePack's extension type of a float32 vector

_PLACE = ("epoch", "seq")  # set after sealing, and again when a journal is replayed
_BOUND = (
    *("uid", "tenant", "user"),
    *("id", "index", "sequence", "version", "session", "source", "superseded_by", "deleted"),
    *("event_time", "end_time", "revised_at", "recorded_at", "valid_to"),
    *("field", "model_id"),  # of vectors
    *("episode", "related"),  # of links
    *("turns", "consolidated"),  # of progress
)
CLEAR = frozenset((*_PLACE, *_BOUND))
"""Columns that stay readable: whose row it is, ids, order, times, and whether it still holds."""


class UnreadableError(StoreError):
    """Sealed data that cannot be opened: no key, another key, changed, or not where it was sealed."""


@dataclass(frozen=True, slots=True)
class DataKey:
    """The key of one tenant. ``id`` is random and stands in front of all that it sealed."""

    id: bytes
    cipher: AESGCM


class DataKeys(Protocol):
    """The keys of all tenants. Safe with threads."""

    def sealing_key(self, tenant: str) -> DataKey:
        """The tenant's key, made now if the tenant never had one. UnreadableError where it was dropped."""
        ...

    def opening_key(self, tenant: str, id: bytes) -> DataKey:
        """The tenant's key of this id. UnreadableError where there is none."""
        ...


class Protection(Protocol):
    """How content stands in storage. Whatever was stored in the clear is read as it is."""

    def seal_bytes(self, tenant: str, data: bytes, context: bytes = b"") -> bytes:
        """``data`` as it is stored. ``context`` says what it is; opening takes the same."""
        ...

    def open_bytes(self, tenant: str, data: bytes, context: bytes = b"") -> bytes:
        """What was stored. UnreadableError."""
        ...

    def seal_row(self, table: str, row: Row) -> Row:
        """The row as it is stored. InvalidError where a text is not valid Unicode."""
        ...

    def open_row(self, table: str, row: Row) -> Row:
        """What was stored, from a row with all its columns. UnreadableError."""
        ...

    def open_table(self, table: str, rows: pa.Table) -> pa.Table:
        """The rows as they were stored, in no set order. UnreadableError."""
        ...


class InTheClear:
    """No encryption. UnreadableError for what is sealed."""

    def seal_bytes(self, tenant: str, data: bytes, context: bytes = b"") -> bytes:
        """``data`` itself."""
        return data

    def open_bytes(self, tenant: str, data: bytes, context: bytes = b"") -> bytes:
        """``data`` itself."""
        if is_sealed(data):
            raise _no_keys(tenant)
        return data

    def seal_row(self, table: str, row: Row) -> Row:
        """The row itself."""
        return row

    def open_row(self, table: str, row: Row) -> Row:
        """The row itself."""
        if row.get("sealed") is not None:
            raise _no_keys(row["tenant"])
        return row

    def open_table(self, table: str, rows: pa.Table) -> pa.Table:
        """The rows themselves."""
        if rows["sealed"].null_count < rows.num_rows:
            raise _no_keys(rows.filter(rows["sealed"].is_valid())["tenant"][0].as_py())
        return rows


class Sealer:
    """Encrypts under the keys of the tenants. Safe with threads."""

    def __init__(self, keys: DataKeys) -> None:
        self._keys = keys

    def seal_bytes(self, tenant: str, data: bytes, context: bytes = b"") -> bytes:
        """``data`` sealed. UnreadableError where the tenant's key was dropped."""
        return self._seal(tenant, data, b"bytes:" + context)

    def open_bytes(self, tenant: str, data: bytes, context: bytes = b"") -> bytes:
        """The bytes that were sealed with this context. UnreadableError, for unsealed bytes too."""
        return self._open(tenant, data, b"bytes:" + context)

    def seal_row(self, table: str, row: Row) -> Row:
        """The clear columns of the row, and the others as a blob; a row without content as it is.

        InvalidError where a text is not valid Unicode; UnreadableError where the tenant's key was dropped.
        """
        content = {
            name: value
            for name, value in row.items()
            if name not in CLEAR and name != "sealed" and value is not None
        }
        if not content:
            return row
        sealed: Row = {name: value for name, value in row.items() if name in CLEAR}
        sealed["sealed"] = self._seal(row["tenant"], _packed(content), _identity(table, row))
        return sealed

    def open_row(self, table: str, row: Row) -> Row:
        """The row that was sealed, a sequence in it as a list; an unsealed row as it is. UnreadableError."""
        blob = row.get("sealed")
        if blob is None:
            return row
        content = _unpacked(self._open(row["tenant"], blob, _identity(table, row)))
        return {**row, **content, "sealed": None}

    def open_table(self, table: str, rows: pa.Table) -> pa.Table:
        """The same rows with all sealed ones opened, those last. UnreadableError."""
        if rows["sealed"].null_count == rows.num_rows:
            return rows
        sealed = rows.filter(rows["sealed"].is_valid())
        blobs = zip(sealed["tenant"].to_pylist(), sealed["sealed"].to_pylist(), strict=True)
        contents = [
            _unpacked(self._open(tenant, blob, identity))
            for (tenant, blob), identity in zip(blobs, _identities(table, sealed), strict=True)
        ]
        content = arrow_table(contents, pa.schema([f for f in rows.schema if f.name not in CLEAR]))
        columns = [(sealed if name in CLEAR else content)[name] for name in rows.schema.names]
        opened = pa.table(columns, schema=rows.schema)
        return pa.concat_tables([rows.filter(rows["sealed"].is_null()), opened])

    def _seal(self, tenant: str, data: bytes, identity: bytes) -> bytes:
        key = self._keys.sealing_key(tenant)
        header = MAGIC + key.id
        return header + encrypted(key.cipher, data, header + identity)

    def _open(self, tenant: str, sealed: bytes, identity: bytes) -> bytes:
        if not is_sealed(sealed):
            raise UnreadableError("these bytes were not sealed, or by another version of this program")
        header, rest = sealed[:_HEADER_BYTES], sealed[_HEADER_BYTES:]
        key = self._keys.opening_key(tenant, header[len(MAGIC) :])
        return decrypted(key.cipher, rest, header + identity)


def is_sealed(data: bytes) -> bool:
    """Whether the bytes say that they are sealed."""
    return data.startswith(MAGIC)


def encrypted(cipher: AESGCM, data: bytes, identity: bytes) -> bytes:
    """``nonce | ciphertext | tag`` of the data, bound to ``identity``."""
    nonce = os.urandom(NONCE_BYTES)
    return nonce + cipher.encrypt(nonce, data, identity)


def decrypted(cipher: AESGCM, sealed: bytes, identity: bytes) -> bytes:
    """The plain text of ``nonce | ciphertext | tag``. UnreadableError unless all of it is authentic."""
    try:
        return cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], identity)
    except (InvalidTag, ValueError) as error:  # ValueError where it is too short for a nonce
        raise UnreadableError("sealed data was changed, or is not where it was sealed") from error


def _no_keys(tenant: str) -> UnreadableError:
    return UnreadableError(f"data of the tenant {tenant!r} is encrypted; this store was opened without keys")


def _identity(table: str, row: Row) -> bytes:
    """What a blob is bound to: the table, and every clear column that stays as it was written."""
    values = map(row.get, _BOUND)
    return _bound([table, *(microseconds(v) if isinstance(v, datetime) else v for v in values)])


def _identities(table: str, rows: pa.Table) -> Iterable[bytes]:
    """``_identity`` of each row; times are read as the integers that Arrow holds."""
    columns: list[list[Any]] = []
    for name in _BOUND:
        if name not in rows.schema.names:
            columns.append([None] * rows.num_rows)
            continue
        column = rows[name]
        if pa.types.is_timestamp(column.type):
            column = column.cast(pa.timestamp("us", tz="UTC")).cast(pa.int64())
        columns.append(column.to_pylist())
    return (_bound([table, *values]) for values in zip(*columns, strict=True))


def _bound(values: list[Any]) -> bytes:
    return b"row:" + json.dumps(values).encode()


def _packed(content: Row) -> bytes:
    try:
        packed: bytes = msgpack.packb(content, default=_vector_packed, datetime=True)
    except UnicodeEncodeError as error:
        raise InvalidError("a text holds half of a surrogate pair and is not valid Unicode") from error
    return packed


def _vector_packed(value: Any) -> msgpack.ExtType:  # noqa: ANN401 - whatever MessagePack does not know
    if isinstance(value, np.ndarray) and value.dtype == np.float32 and value.ndim == 1:
        return msgpack.ExtType(_VECTOR, value.tobytes())
    raise TypeError(f"a column holds {type(value).__name__}")


def _unpacked(data: bytes) -> Row:
    content: Row = msgpack.unpackb(data, ext_hook=_vector_unpacked, timestamp=3)
    return content


def _vector_unpacked(code: int, data: bytes) -> Any:  # noqa: ANN401 - as the hook's type is
    return np.frombuffer(data, np.float32)
