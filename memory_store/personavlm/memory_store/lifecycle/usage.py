"""What each tenant takes of a shard. Reads every row: for accounts, not for requests."""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from personavlm.memory_store.encoder import token_dim
from personavlm.memory_store.records import MemoryKind
from personavlm.memory_store.storage.shard import Shard
from personavlm.memory_store.storage.tables import RECORDS
from personavlm.memory_store.storage.vectors import vectors_name

_NOT_COUNTED = ("uid", "tenant", "user", "epoch", "seq")

Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Usage:
    """Of one tenant. ``memories`` counts each once, deleted ones too; ``row_bytes`` are of its turns,
    memories and all other records in every version, ``vector_bytes`` of what searches derive from them, both
    before compression; ``media_bytes`` are those of the stored images."""

    users: int = 0
    turns: int = 0
    memories: int = 0
    row_bytes: int = 0
    vector_bytes: int = 0
    media_bytes: int = 0


@dataclass(slots=True)
class _Sums:
    """By tenant."""

    turns: Counter[str] = field(default_factory=Counter)
    memories: Counter[str] = field(default_factory=Counter)
    row_bytes: Counter[str] = field(default_factory=Counter)
    vector_bytes: Counter[str] = field(default_factory=Counter)


def usage_of(shard: Shard) -> dict[str, Usage]:
    """By tenant; what was acknowledged before the call is in it. What is sealed counts as it is stored."""
    shard.writer.flush()
    sums = _Sums()
    for name, schema in RECORDS.items():
        with shard.tables[name].kept():
            for batch in shard.tables[name].batches(schema.names):
                content = (column for column in schema.names if column not in _NOT_COUNTED)
                _add(sums.row_bytes, batch["tenant"], sum(sizes(batch[column]) for column in content))
                if name == "turns":
                    _add(sums.turns, batch["tenant"])
                elif name in set(MemoryKind):
                    _add(sums.memories, batch.filter(pc.equal(batch["version"], 1))["tenant"])
    text, image = shard.text_encoder, shard.image_encoder
    _add_vectors(sums, shard, vectors_name("texts", text), text.dim, token_dim(text))
    _add_vectors(sums, shard, vectors_name("images", image), image.dim, token_dim(image))
    users = Counter(user.tenant for user in shard.directory.users())
    tenants = sorted(users.keys() | sums.row_bytes.keys() | sums.vector_bytes.keys())
    return {
        tenant: Usage(
            users=users[tenant],
            turns=sums.turns[tenant],
            memories=sums.memories[tenant],
            row_bytes=sums.row_bytes[tenant],
            vector_bytes=sums.vector_bytes[tenant],
            media_bytes=shard.media.tenant_usage(tenant),
        )
        for tenant in tenants
    }


def _add_vectors(sums: _Sums, shard: Shard, table: str, dim: int, token_dim: int) -> None:
    """Without reading the vectors: how long they are is known."""
    with shard.tables[table].kept():
        for batch in shard.tables[table].batches(["tenant", "sealed", "token_ids", "sentences"]):
            tokens = sizes(batch["token_ids"])
            clear = pc.is_null(batch["sealed"]).to_numpy(zero_copy_only=False)
            own = 4 * dim * clear + sizes(batch["sealed"]) + tokens + tokens // 4 * token_dim
            _add(sums.vector_bytes, batch["tenant"], own + sizes(batch["sentences"]))


def _add(sums: Counter[str], tenants: pa.Array, numbers: Counts | int = 1) -> None:
    """Add the number of each row to its tenant's."""
    coded = tenants.dictionary_encode()
    weights = np.broadcast_to(numbers, len(tenants)).astype(np.float64)  # exact up to 2**53
    found = np.bincount(coded.indices.to_numpy(), weights, minlength=len(coded.dictionary))
    for tenant, number in zip(coded.dictionary.to_pylist(), found.tolist(), strict=True):
        sums[tenant] += int(number)


def sizes(column: pa.Array) -> Counts:
    """``(n,)`` bytes of each value: of texts and bytes their length, of numbers and times their width."""
    type_ = column.type
    if pa.types.is_string(type_) or pa.types.is_binary(type_):
        return _numbers(pc.binary_length(column))
    if pa.types.is_list(type_):
        counts = _numbers(pc.list_value_length(column))
        sums = np.concatenate(([0], np.cumsum(sizes(column.flatten()))))
        ends = np.cumsum(counts)
        return np.asarray(sums[ends] - sums[ends - counts], np.int64)
    if pa.types.is_struct(type_):
        return np.asarray(sum(map(sizes, column.flatten())), np.int64)
    there = column.is_valid().to_numpy(zero_copy_only=False)
    return np.asarray(there * max(type_.bit_width // 8, 1), np.int64)


def _numbers(column: pa.Array) -> Counts:
    return np.asarray(pc.fill_null(column, 0).to_numpy(), np.int64)
