"""Sizes and counts of a shard, for metrics and for tests of bounds."""

from dataclasses import dataclass
from typing import Self

from personavlm.memory_store.cache import UserCache
from personavlm.memory_store.storage.shard import Shard


@dataclass(frozen=True, slots=True)
class StoreStats:
    """``tail_*``: acknowledged and not yet in the tables. ``rows``, ``fragments`` and ``bytes``, those of the
    newest version, by table."""

    users: int
    pending_users: int
    cached_users: int
    cached_bytes: int
    tail_rows: int
    tail_bytes: int
    tail_age_s: float
    tail_failure: str
    rows: dict[str, int]
    fragments: dict[str, int]
    bytes: dict[str, int]

    @classmethod
    def of(cls, shard: Shard, cache: UserCache) -> Self:
        """As things stand now."""
        backlog = shard.writer.backlog()
        cached_users, cached_bytes = cache.size()
        return cls(
            users=len(shard.directory.users()),
            pending_users=len(shard.directory.pending()),
            cached_users=cached_users,
            cached_bytes=cached_bytes,
            tail_rows=backlog.rows,
            tail_bytes=backlog.bytes,
            tail_age_s=backlog.age_s,
            tail_failure=backlog.failure,
            rows={name: table.count() for name, table in shard.tables.items()},
            fragments={name: table.fragments() for name, table in shard.tables.items()},
            bytes={name: table.nbytes() for name, table in shard.tables.items()},
        )
