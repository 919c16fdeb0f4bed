"""What the parts of ``MemoryStore`` share."""

from collections.abc import Callable
from datetime import datetime

from personavlm.memory_store.cache import UserCache
from personavlm.memory_store.records import UserKey
from personavlm.memory_store.storage.shard import Shard
from personavlm.memory_store.storage.tables import Row


class StorePart:
    """Reads and writes of one kind over a shard and the working sets of its users."""

    def __init__(self, shard: Shard, cache: UserCache, clock: Callable[[], datetime]) -> None:
        self._shard, self._cache, self._clock = shard, cache, clock

    def _commit(self, user: UserKey, table: str, rows: list[Row]) -> None:
        try:
            self._shard.append(user, table, rows)
        except BaseException:
            self._cache.forget(user)  # whether it took effect, only the table knows
            raise
