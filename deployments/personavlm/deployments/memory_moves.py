"""Growing the number of shards while the service runs: buckets move, a few at a time.

What a move consists of is told in `memory_store.stores`. The mover alone writes the map. It may end anywhere:
the same growth started again finishes what was begun.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from personavlm.deployments.memory_archives import Archives
from personavlm.deployments.memory_keeping import Keeping
from personavlm.deployments.memory_pool import PASSING, patiently
from personavlm.deployments.update_queue import UpdateQueue
from personavlm.memory_store import MovedError, UserKey
from personavlm.memory_store.lifecycle.erasure import Receipt
from personavlm.memory_store.storage.layout import Layout, LayoutFile
from personavlm.memory_store.storage.objects import ChangedError
from personavlm.memory_store.stores import Stores

STEP_USERS = 8
"""Users who move, and so wait, together. A bucket moves as a whole, so one with more users moves alone; the
many small buckets of a young store share the cost of a step: the map is written and read by everyone twice.
The bound keeps a step within the patience of a call (`memory_pool.PATIENCE_S`)."""
AT_ONCE = 4
"""Users carried side by side: they share flushes of the disk."""
LEFT_BUCKETS = 128
"""So many buckets may have arrived before what they left behind is dropped: that rewrites their old tables,
however little goes. Their users can be served meanwhile, but not erased."""
PATIENCE_S = 120.0
"""How long the mover waits for an erasure to end or an actor to come back."""
WAITED_FOR = tuple(error for error in PASSING if error is not MovedError)
"""A home that refuses its part since its map differs will go on refusing: another mover is at work."""

Progress = Callable[[int, int], None]
"""Told how many buckets have arrived, and how many there are to move."""


class Keepers(Protocol):
    """The processes that have shards open."""

    async def gather(self, method: str, *args: object) -> list[Any]:
        """Call a method of every ``Keeping``."""
        ...

    async def ask(self, shard: int, method: str, *args: object) -> Any:  # noqa: ANN401 - as that method returns
        """Call a method of the one that has the shard open, with the shard as first argument."""
        ...

    async def at_home(self, user: UserKey, method: str, *args: object) -> Any:  # noqa: ANN401 - the same
        """Call a method of the one that is the user's home, with the user as first argument."""
        ...

    async def hand_over(self, user: UserKey, old: int, new: int) -> None:
        """Carry a user's archive from one shard to another."""
        ...

    async def erase_tenant(self, tenant: str) -> list[Receipt]:
        """Erase everything of a tenant, in every shard. BusyError where users moved meanwhile."""
        ...


class InProcess(Keeping, Archives):
    """``Keepers`` of a store that no service has open: this process has all of its shards itself."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores
        self._queue = UpdateQueue(self._leave)

    async def _leave(self, user: UserKey) -> None:
        """Updates wait for the service."""

    async def gather(self, method: str, *args: object) -> list[Any]:
        """Call a method."""
        return [await getattr(self, method)(*args)]

    async def ask(self, shard: int, method: str, *args: object) -> Any:  # noqa: ANN401 - as that method returns
        """Call a method with the shard as first argument."""
        return await getattr(self, method)(shard, *args)

    async def at_home(self, user: UserKey, method: str, *args: object) -> Any:  # noqa: ANN401 - the same
        """Call a method with the user as first argument."""
        return await getattr(self, method)(user, *args)

    async def hand_over(self, user: UserKey, old: int, new: int) -> None:
        """Carry a user's archive from one shard to another."""
        await self.take_in(new, user, await self.take_out(old, user))


class Mover:
    """Changes which shards a store has. ``file`` is its map, as the keepers read it."""

    def __init__(
        self, keepers: Keepers, file: LayoutFile, progress: Progress = lambda arrived, of: None
    ) -> None:
        self._keepers, self._file, self._progress = keepers, file, progress

    async def grow(self, shards: int) -> Layout:
        """Divide the store into so many shards; the map afterwards.

        Finishes an earlier growth first, and does nothing more if there are so many already. ValueError for
        fewer than there are. ChangedError where another mover is at work. PASSING errors of the pool where a
        home was gone for too long.
        """
        layout = self._file.load(shards)
        layout = await self._agreed(layout)
        layout = await self._change(layout, layout.grown(shards))
        layout = await self._clear(layout)
        moves = dict(layout.next_moves())
        arrived = 0
        for step in await self._steps(layout, moves):
            layout = await self._move(layout, step)
            arrived += len(step)
            self._progress(arrived, len(moves))
            if len(layout.left) >= LEFT_BUCKETS:
                layout = await self._clear(layout)
        return await self._clear(layout)

    async def _steps(self, layout: Layout, moves: Mapping[int, int]) -> list[dict[int, int]]:
        """The moves in groups, those begun already first."""
        users: Counter[int] = sum(await self._keepers.gather("census"), Counter())
        steps = [dict(layout.moving)] if layout.moving else []
        return steps + grouped({b: to for b, to in moves.items() if b not in layout.moving}, users)

    async def _move(self, layout: Layout, step: Mapping[int, int]) -> Layout:
        """Move the buckets; the map afterwards, which names what they left behind."""
        if not step.keys() <= layout.moving.keys():
            layout = await self._change(layout, layout.begin_moves(step))
        await self._carry(layout, step)
        return await self._change(layout, layout.end_moves(step))

    async def _carry(self, layout: Layout, step: Mapping[int, int]) -> None:
        slots = asyncio.Semaphore(AT_ONCE)

        async def hand_over(user: UserKey, old: int, new: int) -> None:
            async with slots:
                await patiently(lambda: self._keepers.hand_over(user, old, new), WAITED_FOR, PATIENCE_S)

        for (old, new), buckets in _by_way(layout, step).items():
            # Of users of whom nothing is stored as well: a reply to one may be in the making.
            erasures = await self._ask(old, "known_erasures")
            await self._ask(new, "learn_erasures", erasures)
            users: list[UserKey] = await self._ask(old, "users_in", buckets)
            await asyncio.gather(*(hand_over(user, old, new) for user in users))

    async def _clear(self, layout: Layout) -> Layout:
        """Drop what buckets left behind; the map afterwards."""
        by_shard: dict[int, list[int]] = defaultdict(list)
        for bucket, shard in layout.left.items():
            by_shard[shard].append(bucket)
        for shard, buckets in by_shard.items():
            await self._ask(shard, "let_go", buckets)
        return await self._change(layout, layout.cleared()) if layout.left else layout

    async def _change(self, old: Layout, new: Layout) -> Layout:
        """Store the new map; on return everybody serves by it."""
        self._file.replace(old, new)
        return await self._agreed(new)

    async def _agreed(self, layout: Layout) -> Layout:
        """The map, which everybody has read anew by then. ChangedError where somebody found another one."""
        read = await patiently(lambda: self._keepers.gather("reload"), WAITED_FOR, PATIENCE_S)
        if any(found != layout for found in read):
            raise ChangedError("the service reads another map of buckets than this command")
        return layout

    async def _ask(self, shard: int, method: str, *args: object) -> Any:  # noqa: ANN401 - as that method returns
        return await patiently(lambda: self._keepers.ask(shard, method, *args), WAITED_FOR, PATIENCE_S)


def grouped(moves: Mapping[int, int], users: Mapping[int, int]) -> list[dict[int, int]]:
    """Moves in groups of at most ``STEP_USERS`` users, or of one bucket; in which order is theirs to say."""
    steps: list[dict[int, int]] = []
    together = 0
    for bucket, shard in moves.items():
        more = users.get(bucket, 0)
        if not steps or (more and together + more > STEP_USERS):
            steps.append({})
            together = 0
        steps[-1][bucket] = shard
        together += more
    return steps


def _by_way(layout: Layout, step: Mapping[int, int]) -> dict[tuple[int, int], list[int]]:
    """The buckets of a step by where they are and where they go."""
    ways: dict[tuple[int, int], list[int]] = defaultdict(list)
    for bucket, new in step.items():
        ways[layout.home[bucket], new].append(bucket)
    return ways
