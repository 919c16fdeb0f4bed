"""Which shard is a user's home: 1,024 virtual buckets, and a map of buckets that is data.

A user's bucket never changes. The map may: while a bucket moves, ``moving`` names where it goes and nobody
serves its users; once it has arrived, ``left`` names the shard that still holds what it held. A crash in
between is resumed from what stands here.
"""

import hashlib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from personavlm.memory_store.errors import DamagedError
from personavlm.memory_store.records import UserKey
from personavlm.memory_store.storage.objects import ChangedError, ExistsError, MissingError, Objects
from personavlm.memory_store.storage.tables import uid_of

BUCKETS = 1024
FORMAT = 2
KEY = "layout.json"

Shards = Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=BUCKETS, max_length=BUCKETS)]


def bucket_of(user: UserKey) -> int:
    """The bucket of a user: the same on every machine and in every release."""
    return int.from_bytes(hashlib.sha256(uid_of(user).encode()).digest()[:8]) % BUCKETS


class Layout(BaseModel):
    """The map of one store. ``home[bucket]`` is a shard's number."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: int = Field(FORMAT, ge=FORMAT, le=FORMAT)
    shards: int = Field(ge=1, le=BUCKETS)
    home: Shards
    moving: dict[int, int] = {}
    left: dict[int, int] = {}

    @classmethod
    def even(cls, shards: int) -> Self:
        """Buckets dealt out to so many shards."""
        return cls(shards=shards, home=tuple(bucket % shards for bucket in range(BUCKETS)))

    def shard_of(self, user: UserKey) -> int:
        """The home of a user."""
        return self.home[bucket_of(user)]

    def grown(self, shards: int) -> Self:
        """The same map with room for more shards. ValueError for fewer, or more than there are buckets."""
        if shards > BUCKETS:
            raise ValueError(f"a store has at most {BUCKETS} shards, not {shards}")
        if shards < self.shards:
            raise ValueError(f"the store has {self.shards} shards; it can grow, not shrink to {shards}")
        return self.model_copy(update={"shards": shards})

    def next_moves(self) -> list[tuple[int, int]]:
        """(bucket, shard to go to) until no shard has two buckets more than another; begun moves go first."""
        moves = list(self.moving.items())
        home = list(self.home)
        for bucket, shard in moves:
            home[bucket] = shard
        counts = [home.count(shard) for shard in range(self.shards)]
        for bucket, shard in enumerate(home):
            poorest = min(range(self.shards), key=counts.__getitem__)
            if counts[shard] > counts[poorest] + 1 and bucket not in self.moving:
                moves.append((bucket, poorest))
                counts[shard] -= 1
                counts[poorest] += 1
        return moves

    def begin_moves(self, moves: Mapping[int, int]) -> Self:
        """The buckets are on their way to these shards."""
        return self.model_copy(update={"moving": {**self.moving, **moves}})

    def end_moves(self, buckets: Iterable[int]) -> Self:
        """The buckets, which were on their way, have arrived; where they were, something is left of them."""
        home, moving, left = list(self.home), dict(self.moving), dict(self.left)
        for bucket in buckets:
            left[bucket], home[bucket] = home[bucket], moving.pop(bucket)
        return self.model_copy(update={"home": tuple(home), "moving": moving, "left": left})

    def cleared(self) -> Self:
        """Nothing is left of any bucket where it is not at home."""
        return self.model_copy(update={"left": {}})


class LayoutFile:
    """The map as it is stored. Changes are compare-and-swap: two operators cannot undo each other's."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def load(self, shards: int) -> Layout:
        """The map, made for so many shards where there is none. DamagedError if it cannot be read."""
        try:
            return self._read()[0]
        except MissingError:
            with suppress(ExistsError):  # another process was faster
                self._objects.create(KEY, _bytes(Layout.even(shards)))
            return self._read()[0]

    def replace(self, old: Layout, new: Layout) -> None:
        """Store the new map if the old one is still there. ChangedError."""
        found, version = self._read()
        if found != old:
            raise ChangedError("the map of buckets was changed by somebody else meanwhile")
        self._objects.replace(KEY, _bytes(new), version)

    def _read(self) -> tuple[Layout, str]:
        data, version = self._objects.get_versioned(KEY)
        try:
            return Layout.model_validate_json(data), version
        except ValidationError as error:
            raise DamagedError(f"{KEY} is not a map of buckets that this version reads: {error}") from error


def _bytes(layout: Layout) -> bytes:
    return layout.model_dump_json().encode()
