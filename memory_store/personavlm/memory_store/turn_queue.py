"""Turns of many callers on one event loop, stored together: one thread and one flush for all who wait."""

import asyncio

from personavlm.memory_store.records import Turn, TurnDraft, UserKey
from personavlm.memory_store.store import MemoryStore


class TurnQueue:
    """Whatever queues while the last batch is being stored becomes the next one."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self._waiting: list[tuple[UserKey, TurnDraft, asyncio.Future[Turn]]] = []
        self._worker: asyncio.Task[None] | None = None

    async def append(self, user: UserKey, draft: TurnDraft) -> Turn:
        """``MemoryStore.append_turn``. A caller who gives up waiting does not keep the turn from being
        stored."""
        done: asyncio.Future[Turn] = asyncio.get_running_loop().create_future()
        self._waiting.append((user, draft, done))
        if self._worker is None:
            self._worker = asyncio.create_task(self._work())
        return await done

    async def _work(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            found: list[Turn | Exception]
            try:
                items = [(user, draft) for user, draft, _ in batch]
                found = await asyncio.to_thread(self._store.append_each, items)
            except Exception as error:  # noqa: BLE001 - handed to everyone who waits for this batch
                found = [error] * len(batch)
            for (_, _, done), outcome in zip(batch, found, strict=True):
                if done.cancelled():
                    continue
                if isinstance(outcome, Exception):
                    done.set_exception(outcome)
                else:
                    done.set_result(outcome)
        self._worker = None
