"""Turns of many callers on one event loop, stored together: one thread and one flush for all who wait."""

import asyncio
from collections.abc import Sequence

from personavlm.memory_store.records import Turn, TurnDraft, UserKey
from personavlm.memory_store.store import MemoryStore


class TurnQueue:
    """Whatever queues while the last batch is being stored becomes the next one. Users who are in use, or
    not in memory, keep nobody else waiting."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self._waiting: list[tuple[tuple[UserKey, TurnDraft], asyncio.Future[Turn]]] = []
        self._worker: asyncio.Task[None] | None = None
        self._late: set[asyncio.Task[None]] = set()  # held here, since the loop does not

    async def append(self, user: UserKey, draft: TurnDraft) -> Turn:
        """``MemoryStore.append_turn``. A caller who gives up waiting does not keep the turn from being
        stored."""
        done: asyncio.Future[Turn] = asyncio.get_running_loop().create_future()
        self._waiting.append(((user, draft), done))
        if self._worker is None:
            self._worker = asyncio.create_task(self._work())
        return await done

    async def _work(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            found: Sequence[Turn | Exception | None]
            try:
                found = await asyncio.to_thread(self._store.append_each, [item for item, _ in batch])
            except Exception as error:  # noqa: BLE001 - handed to everyone who waits for this batch
                found = [error] * len(batch)
            for (item, done), outcome in zip(batch, found, strict=True):
                if outcome is None:
                    self._late.add(late := asyncio.create_task(self._append_alone(item, done)))
                    late.add_done_callback(self._late.discard)
                else:
                    _tell(done, outcome)
        self._worker = None

    async def _append_alone(self, item: tuple[UserKey, TurnDraft], done: asyncio.Future[Turn]) -> None:
        """For a user whom it takes a while to get hold of."""
        user, draft = item
        try:
            turns, _ = await asyncio.to_thread(self._store.append_turns, user, [draft])
        except Exception as error:  # noqa: BLE001 - handed to who waits
            _tell(done, error)
        else:
            _tell(done, turns[0])


def _tell(done: asyncio.Future[Turn], outcome: Turn | Exception) -> None:
    if done.cancelled():
        return
    if isinstance(outcome, Exception):
        done.set_exception(outcome)
    else:
        done.set_result(outcome)
