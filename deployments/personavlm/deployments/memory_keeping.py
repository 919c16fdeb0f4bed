"""What operators do with the memory that an actor is home to: move, erase, count."""

from __future__ import annotations

import asyncio
import logging
import os
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from personavlm.deployments.memory_metrics import StoreGauges
from personavlm.deployments.store_root import shard_name
from personavlm.deployments.update_queue import UpdateQueue
from personavlm.memory_store import LostEpochError, StoreError, UserKey, Window
from personavlm.memory_store.lifecycle.backup import BackupManifest
from personavlm.memory_store.lifecycle.erasure import Receipt
from personavlm.memory_store.lifecycle.last_erasures import KnownErasures
from personavlm.memory_store.lifecycle.retention import Retention
from personavlm.memory_store.lifecycle.stats import StoreStats
from personavlm.memory_store.lifecycle.usage import Usage
from personavlm.memory_store.storage.layout import Layout, bucket_of
from personavlm.memory_store.storage.objects import open_objects
from personavlm.memory_store.stores import Stores
from personavlm.platform.config import MemoryConfig

log = logging.getLogger(__name__)

RETENTION_S = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class UpdateProgress:
    """Users whose updates wait or are being made, how long the oldest has waited, and attempts that failed
    since the process started."""

    users: int
    lag_s: float
    failures: int


class Keeping:
    """The operators' side of a memory actor."""

    _config: MemoryConfig
    _stores: Stores
    _queue: UpdateQueue

    async def layout(self) -> Layout:
        """The map of buckets."""
        return self._stores.layout

    async def reload(self) -> Layout:
        """Read the map anew; from then on the actor serves by it. Updates of who has arrived are taken up."""
        expected = self._stores.layout.moving.keys()
        layout = await asyncio.to_thread(self._stores.reload)
        if arrived := expected - layout.moving.keys():
            for user in await asyncio.to_thread(self._stores.pending):
                if bucket_of(user) in arrived:
                    self._queue.notify(user)
        return layout

    async def step_down(self) -> None:
        """End this process if it may not write all of its shards any more.

        The one that Ray starts in its place opens them anew; a process that Ray has replaced is gone then.
        """
        try:
            await asyncio.to_thread(self._stores.check_writers)
        except LostEpochError as error:
            log.error("a memory actor ends, to be started anew: %s", error)
            os._exit(1)

    async def stats(self) -> dict[int, StoreStats]:
        """Sizes and counts by shard."""
        numbers = self._stores.numbers()
        return {number: await asyncio.to_thread(self._stores.shard(number).stats) for number in numbers}

    async def update_progress(self) -> UpdateProgress:
        """How far the update stage is behind here."""
        return UpdateProgress(self._queue.length(), self._queue.lag_s(), self._queue.failures)

    async def usage(self) -> list[dict[str, Usage]]:
        """What each tenant takes of the shards here."""
        return [await asyncio.to_thread(store.usage) for store in self._stores.all()]

    async def users_of(self, tenant: str) -> list[UserKey]:
        """Everyone of a tenant whose home is here."""
        users = await asyncio.to_thread(self._stores.users)
        return [user for user in users if user.tenant == tenant]

    async def back_up(self, target: str, options: dict[str, str]) -> dict[int, BackupManifest]:
        """Copy every shard that is open here into a folder of its own below ``target``."""
        place = await asyncio.to_thread(open_objects, target, options)
        return {
            number: await asyncio.to_thread(
                self._stores.shard(number).backups.backup, place, shard_name(number)
            )
            for number in self._stores.numbers()
        }

    async def _maintain(self) -> None:
        gauges = StoreGauges()
        while True:
            gauges.show(await self.stats())
            await asyncio.sleep(self._config.maintenance_s)
            await self.step_down()
            for store in self._stores.all():
                try:
                    await asyncio.to_thread(store.maintain)
                except (RuntimeError, OSError):  # as LanceDB raises them: the next round may succeed
                    log.exception("a shard could not be maintained")

    async def _expire(self, days: Mapping[str, float]) -> None:
        """Once a day and at every start, erase what is too old."""
        retention = Retention.model_validate({kind: timedelta(days=age) for kind, age in days.items()})
        while days:
            for store in self._stores.all():
                try:
                    await asyncio.to_thread(store.expiry.apply, retention, datetime.now(UTC))
                except (StoreError, RuntimeError, OSError):
                    log.exception("what is too old could not be erased; the next day tries again")
            await asyncio.sleep(RETENTION_S)

    # Moving buckets: see `memory_store.stores`

    async def census(self) -> Counter[int]:
        """How many users each bucket has whose home is here."""
        return await asyncio.to_thread(self._stores.census)

    async def users_in(self, shard: int, buckets: Collection[int]) -> list[UserKey]:
        """Everyone of these buckets of whom the shard holds anything."""
        return await asyncio.to_thread(self._stores.users_in, shard, buckets)

    async def take_out(self, shard: int, user: UserKey) -> bytes:
        """The archive of a user who is on the move. His updates stop here."""
        await self._queue.drop(user)
        return await asyncio.to_thread(self._stores.take_out, shard, user)

    async def take_in(self, shard: int, user: UserKey, archive: bytes) -> None:
        """Store a user who is on the move to here."""
        await asyncio.to_thread(self._stores.take_in, shard, user, archive)

    async def known_erasures(self, shard: int) -> KnownErasures:
        """What a shard that users leave knows of erasures."""
        return self._stores.shard(shard).last_erasures.known()

    async def learn_erasures(self, shard: int, known: KnownErasures) -> None:
        """What the shard knew from which users come."""
        await asyncio.to_thread(self._stores.shard(shard).last_erasures.learn, known)

    async def let_go(self, shard: int, buckets: Collection[int]) -> None:
        """Drop what the shard has of buckets that left it."""
        await asyncio.to_thread(self._stores.let_go, shard, buckets)

    # Erasure: the update stage of a user stops before it and does not begin until it is over, or it would
    # write what was just erased.

    async def erase_user(self, user: UserKey) -> Receipt:
        """Everything of one user."""
        async with self._queue.paused(user):
            return await asyncio.to_thread(self._erase_user, user)

    def _erase_user(self, user: UserKey) -> Receipt:
        with self._stores.settled(user) as store:
            return store.eraser.erase_user(user)

    async def erase_range(self, user: UserKey, window: Window) -> Receipt:
        """The turns of a window and what was learned from them."""
        async with self._queue.paused(user):
            receipt = await asyncio.to_thread(self._erase_range, user, window)
        self._queue.notify(user)
        return receipt

    def _erase_range(self, user: UserKey, window: Window) -> Receipt:
        with self._stores.settled(user) as store:
            return store.eraser.erase_range(user, window)

    async def erase_memory(self, user: UserKey, memory_id: str) -> Receipt:
        """One memory in all its versions."""
        return await asyncio.to_thread(self._erase_memory, user, memory_id)

    def _erase_memory(self, user: UserKey, memory_id: str) -> Receipt:
        with self._stores.settled(user) as store:
            return store.eraser.erase_memory(user, memory_id)

    async def erase_tenant(self, tenant: str) -> list[Receipt]:
        """Everything of a tenant in the shards here."""
        async with self._queue.paused(tenant):
            return await asyncio.to_thread(self._erase_tenant, tenant)

    def _erase_tenant(self, tenant: str) -> list[Receipt]:
        with self._stores.all_settled() as stores:
            return [store.eraser.erase_tenant(tenant) for store in stores]
