"""What operators do with the memory that an actor is home to: move, erase, count."""

from __future__ import annotations

import asyncio

from personavlm.deployments.update_queue import UpdateQueue
from personavlm.memory_store import UserKey, Window
from personavlm.memory_store.lifecycle.erasure import Receipt
from personavlm.memory_store.lifecycle.stats import StoreStats
from personavlm.memory_store.storage.layout import Layout
from personavlm.memory_store.stores import Stores


class Keeping:
    """The operators' side of a memory actor."""

    _stores: Stores
    _queue: UpdateQueue

    async def layout(self) -> Layout:
        """The map of buckets."""
        return self._stores.layout

    async def reload(self) -> Layout:
        """Read the map anew; from then on the actor serves by it."""
        return await asyncio.to_thread(self._stores.reload)

    async def stats(self) -> dict[int, StoreStats]:
        """Sizes and counts by shard."""
        numbers = self._stores.numbers()
        return {number: await asyncio.to_thread(self._stores.shard(number).stats) for number in numbers}

    # Erasure: what waits for the update stage of a user goes first, or it would write what was just erased.

    async def erase_user(self, user: UserKey) -> Receipt:
        """Everything of one user."""
        await self._queue.drop(user)
        return await asyncio.to_thread(self._stores.of(user).eraser.erase_user, user)

    async def erase_range(self, user: UserKey, window: Window) -> Receipt:
        """The turns of a window and what was learned from them."""
        await self._queue.drop(user)
        receipt = await asyncio.to_thread(self._stores.of(user).eraser.erase_range, user, window)
        self._queue.notify(user)
        return receipt

    async def erase_memory(self, user: UserKey, memory_id: str) -> Receipt:
        """One memory in all its versions."""
        return await asyncio.to_thread(self._stores.of(user).eraser.erase_memory, user, memory_id)

    async def erase_tenant(self, tenant: str) -> list[Receipt]:
        """Everything of a tenant in the shards here."""
        for user in self._stores.users():
            if user.tenant == tenant:
                await self._queue.drop(user)
        return [await asyncio.to_thread(store.eraser.erase_tenant, tenant) for store in self._stores.all()]
