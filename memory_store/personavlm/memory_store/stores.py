"""The shards of one store that a process is home to, and moving buckets between shards while they serve.

A move of buckets takes five steps, each safe to repeat:

1. the map says that they are moving; from the moment that their old home has read that (``reload``),
   nobody of them is served, and every write that was acknowledged is in what follows;
2. the old home gives out their users, one archive each;
3. the new home takes them in, in place of what a broken attempt left;
4. the map names the new home; once both have read it, the users are served again;
5. the old home drops what it still has of them, and the map says so.

Each home does its part only while its own map says that this is the time for it: of two movers at work, be
it by mistake, none can undo what the other finished. Nor is anything erased for users on the move.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from threading import Lock

from personavlm.memory_store.errors import BusyError, MovedError
from personavlm.memory_store.records import UserKey
from personavlm.memory_store.storage.claim import Claim
from personavlm.memory_store.storage.gate import Gate
from personavlm.memory_store.storage.layout import Layout, LayoutFile, bucket_of
from personavlm.memory_store.store import CACHE_MB, MemoryStore

AtHome = Callable[[UserKey], None]


class Stores:
    """Opens the shards that are this process's by ``mine``, as the map comes to name them.

    They share ``cache_mb`` of memory for working sets. With them ends the ``claim`` on a bucket.
    """

    def __init__(
        self,
        file: LayoutFile,
        shards: int,
        open_shard: Callable[[int, AtHome], MemoryStore],
        mine: Callable[[int], bool] = lambda shard: True,
        cache_mb: float = CACHE_MB,
        claim: Claim | None = None,
    ) -> None:
        self._file, self._open_shard, self._mine, self._cache_mb = file, open_shard, mine, cache_mb
        self._claim = claim
        self._stores: dict[int, MemoryStore] = {}
        self._lock = Lock()
        self._steps = Gate()  # what goes on by the map, and the map being exchanged
        self._layout = file.load(shards)
        self._open()

    @property
    def layout(self) -> Layout:
        """The map as this process knows it."""
        return self._layout

    def reload(self) -> Layout:
        """Read the map anew, open shards that it adds; on return no call of an older map is under way."""
        with self._lock, self._steps.exclusive():
            self._layout = self._file.load(self._layout.shards)
            self._open()
        for store in self.all():
            store.barrier()
        return self._layout

    def _open(self) -> None:
        for shard in range(self._layout.shards):
            if self._mine(shard) and shard not in self._stores:
                self._stores[shard] = self._open_shard(shard, self._gate_of(shard))
        for store in self.all():
            store.limit_cache(self._cache_mb / len(self._stores))

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

    def check_writers(self) -> None:
        """LostEpochError when another process writes one of the shards now."""
        for store in self.all():
            store.check_writer()

    # moving buckets, and what must not happen meanwhile

    def census(self) -> Counter[int]:
        """How many users each bucket has whose home is here."""
        return Counter(map(bucket_of, self.users()))

    def users_in(self, shard: int, buckets: Collection[int]) -> list[UserKey]:
        """Everyone of these buckets of whom the shard holds records."""
        return list(self.shard(shard).transfer.users_in(buckets))

    def take_out(self, shard: int, user: UserKey) -> bytes:
        """The archive of a user who is to leave the shard. MovedError unless he is on the move."""
        with self._steps.shared():
            bucket = bucket_of(user)
            if self._layout.home[bucket] != shard or bucket not in self._layout.moving:
                raise MovedError(f"bucket {bucket} does not leave shard {shard}")
            return self.shard(shard).transfer.take_out(user)

    def take_in(self, shard: int, user: UserKey, archive: bytes) -> None:
        """Store a user who comes to the shard, in place of what it has of him. MovedError unless he comes."""
        with self._steps.shared():
            bucket = bucket_of(user)
            if self._layout.moving.get(bucket) != shard:
                raise MovedError(f"bucket {bucket} does not come to shard {shard}")
            self.shard(shard).transfer.take_in(user, archive)

    def let_go(self, shard: int, buckets: Collection[int]) -> None:
        """Drop what the shard has of buckets that left it. MovedError if one did not."""
        with self._steps.shared():
            layout = self._layout
            for bucket in buckets:
                if shard in (layout.home[bucket], layout.moving.get(bucket)):
                    raise MovedError(f"bucket {bucket} has not left shard {shard}")
            self.shard(shard).transfer.let_go(buckets)

    @contextmanager
    def settled(self, user: UserKey) -> Iterator[MemoryStore]:
        """The user's home, which holds all that there is of him, and stays it until the block ends.

        BusyError while he moves, or while something of him is left where he was.
        """
        with self._steps.shared():
            if bucket_of(user) in self._layout.moving.keys() | self._layout.left.keys():
                raise BusyError("this user's memory is moving to another shard; try again in a moment")
            yield self.of(user)

    @contextmanager
    def all_settled(self) -> Iterator[tuple[MemoryStore, ...]]:
        """Every shard that is open here; nobody moves until the block ends. BusyError while anybody does."""
        with self._steps.shared():
            if self._layout.moving or self._layout.left:
                raise BusyError("memory is moving between shards; try again later")
            yield self.all()

    def close(self) -> None:
        """Close every shard."""
        for store in self.all():
            store.close()
        if self._claim:
            self._claim.release()
