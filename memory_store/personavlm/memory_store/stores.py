"""The shards of one store that a process is home to, and moving buckets between shards while they serve.

A move of one bucket takes five steps, each safe to repeat:

1. the map says that the bucket is moving (``LayoutFile``); from then on nobody serves its users;
2. the old home reads the map anew (``reload``), so every write it still acknowledges is in what follows;
3. the old home exports the bucket's users, the new home takes them in, in place of what a broken
   attempt left;
4. the map names the new home; both homes read it anew, and the users are served again;
5. the old home erases what it still has of them.
"""

from collections.abc import Callable, Iterable
from threading import RLock

from personavlm.memory_store.errors import BusyError, MovedError
from personavlm.memory_store.records import UserKey
from personavlm.memory_store.storage.layout import Layout, LayoutFile, bucket_of
from personavlm.memory_store.store import MemoryStore


class Stores:
    """Opens shards as the map gives them to this process. ``mine(shard)`` says which those may be."""

    def __init__(
        self,
        layout_file: LayoutFile,
        shards: int,
        open_shard: Callable[[int], MemoryStore],
        mine: Callable[[int], bool] = lambda shard: True,
    ) -> None:
        self._file, self._shards = layout_file, shards
        self._open_shard, self._mine = open_shard, mine
        self._stores: dict[int, MemoryStore] = {}
        self._lock = RLock()
        self._layout = layout_file.load(shards)
        self._open()

    @property
    def layout(self) -> Layout:
        """The map as this process knows it."""
        return self._layout

    def reload(self) -> Layout:
        """Read the map anew; open shards that it adds. Afterwards no call of an older map is under way."""
        with self._lock:
            self._layout = self._file.load(self._shards)
            self._open()
        for store in self.all():
            store.barrier()
        return self._layout

    def _open(self) -> None:
        for shard in range(self._layout.shards):
            if self._mine(shard) and shard not in self._stores:
                self._stores[shard] = self._open_shard(shard)

    def of(self, user: UserKey) -> MemoryStore:
        """The home of a user. BusyError while the user's bucket moves, MovedError where it is elsewhere."""
        layout = self._layout
        if bucket_of(user) in layout.moving:
            raise BusyError("this user's memory is moving to another shard; try again in a moment")
        store = self._stores.get(layout.shard_of(user))
        if store is None:
            raise MovedError(f"shard {layout.shard_of(user)} is the home of this user, and it is not here")
        return store

    def all(self) -> tuple[MemoryStore, ...]:
        """Every shard that is open here."""
        with self._lock:
            return tuple(self._stores.values())

    def users(self) -> tuple[UserKey, ...]:
        """Everyone whose home is here."""
        return tuple(user for user in self._each(MemoryStore.users) if self._at_home(user))

    def pending(self) -> tuple[UserKey, ...]:
        """Everyone whose home is here and who has turns that the update stage is not done with."""
        return tuple(user for user in self._each(MemoryStore.pending) if self._at_home(user))

    def _each(self, list_users: Callable[[MemoryStore], Iterable[UserKey]]) -> Iterable[UserKey]:
        for shard, store in sorted(self._stores.items()):
            yield from (user for user in list_users(store) if self._layout.shard_of(user) == shard)

    def _at_home(self, user: UserKey) -> bool:
        return bucket_of(user) not in self._layout.moving

    def close(self) -> None:
        """Close every shard."""
        for store in self.all():
            store.close()
