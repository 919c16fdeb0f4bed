"""A user's archive out of the memory actor that is his home, and into it."""

from __future__ import annotations

import asyncio
import io

from personavlm.deployments.update_queue import UpdateQueue
from personavlm.memory_store import UserKey
from personavlm.memory_store.stores import Stores


class Archives:
    """The part of a memory actor that exports and imports."""

    _stores: Stores
    _queue: UpdateQueue

    async def export_user(self, user: UserKey, vectors: bool) -> bytes:
        """The archive of a user, a ZIP file: see `memory_store.lifecycle.archive`."""
        return await asyncio.to_thread(self._export, user, vectors)

    def _export(self, user: UserKey, vectors: bool) -> bytes:
        file = io.BytesIO()
        self._stores.of(user).transfer.export_user(user, file, vectors=vectors)
        return file.getvalue()

    async def import_user(self, user: UserKey, archive: bytes, replace: bool) -> dict[str, int]:
        """Take in an archive as this user; how many rows of each table. `InvalidError` says what is wrong."""
        async with self._queue.paused(user):
            rows = await asyncio.to_thread(self._import, user, archive, replace)
        self._queue.notify(user)
        return rows

    def _import(self, user: UserKey, archive: bytes, replace: bool) -> dict[str, int]:
        with self._stores.settled(user) as store:  # a user who moved meanwhile would arrive with half of it
            return store.transfer.import_user(user, io.BytesIO(archive), replace=replace).rows
