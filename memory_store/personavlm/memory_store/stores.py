"""The shards of one store that a process is home to, and moving buckets between shards while they serve.

A move of one bucket takes five steps, each safe to repeat:

1. the map says that the bucket is moving; from the moment that its old home has read that (``reload``),
   nobody is served from the bucket, and every write that was acknowledged is in what follows;
2. the old home gives out the bucket's users, one archive each;
3. the new home takes them in, in place of what a broken attempt left;
4. the map names the new home; once both have read it, the users are served again;
5. the old home erases what it still has of them.
"""

from collections.abc import Callable, Iterable
from threading import Lock

from personavlm.memory_store.errors import BusyError, MovedError
from personavlm.memory_store.records import UserKey
from personavlm.memory_store.storage.layout import Layout, LayoutFile, bucket_of
from personavlm.memory_store.store import MemoryStore

AtHome = Callable[[UserKey], None]


class Stores:
    """Opens the shards that are this process's by ``mine``, as the map comes to name them."""

    def __init__(
        self,
        file: LayoutFile,
        shards: int,
        open_shard: Callable[[int, AtHome], MemoryStore],
        mine: Callable[[int], bool] = lambda shard: True,
    ) -> None:
        self._file, self._open_shard, self._mine = file, open_shard, mine
        self._stores: dict[int, MemoryStore] = {}
        self._lock = Lock()
        self._layout = file.load(shards)
        self._open()

    @property
    def layout(self) -> Layout:
        """The map as this process knows it."""
        return self._layout

    def reload(self) -> Layout:
        """Read the map anew, open shards that it adds; on return no call of an older map is under way."""
        with self._lock:
            self._layout = self._file.load(self._layout.shards)
            self._open()
        for store in self.all():
            store.barrier()
        return self._layout

    def _open(self) -> None:
        for shard in range(self._layout.shards):
            if self._mine(shard) and shard not in self._stores:
                self._stores[shard] = self._open_shard(shard, self._gate_of(shard))

    def _gate_of(self, shard: int) -> AtHome:
        """What a shard asks before it serves a user."""

        def at_home(user: UserKey) -> None:
            layout = self._layout
            if bucket_of(user) in layout.moving:
                raise BusyError("this user's memory is moving to another shard; try again in a moment")
            if layout.shard_of(user) != shard:
                raise MovedError(f"the home of this user is shard {layout.shard_of(user)}")

        return at_home

    def of(self, user: UserKey) -> MemoryStore:
        """The shard that is the user's home. MovedError where it is not open here."""
        shard = self._layout.shard_of(user)
        store = self._stores.get(shard)
        if store is None:
            raise MovedError(f"the home of this user is shard {shard}")
        return store

    def shard(self, number: int) -> MemoryStore:
        """A shard by its number. MovedError where it is not open here."""
        store = self._stores.get(number)
        if store is None:
            raise MovedError(f"shard {number} is not open here")
        return store

    def all(self) -> tuple[MemoryStore, ...]:
        """Every shard that is open here."""
        return tuple(self._stores.values())

    def numbers(self) -> tuple[int, ...]:
        """Numbers of the shards that are open here."""
        return tuple(sorted(self._stores))

    def users(self) -> tuple[UserKey, ...]:
        """Everyone whose home is here."""
        return self._at_home(MemoryStore.users)

    def pending(self) -> tuple[UserKey, ...]:
        """Everyone whose home is here and who has turns that the update stage is not done with."""
        return self._at_home(MemoryStore.pending)

    def _at_home(self, users: Callable[[MemoryStore], Iterable[UserKey]]) -> tuple[UserKey, ...]:
        layout = self._layout
        return tuple(
            user
            for shard, store in tuple(self._stores.items())
            for user in users(store)
            if layout.shard_of(user) == shard and bucket_of(user) not in layout.moving
        )

    def close(self) -> None:
        """Close every shard."""
        for store in self.all():
            store.close()
