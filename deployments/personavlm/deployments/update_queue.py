"""Runs the update stage behind the replies: per user in order, a few users at once, until nothing is left."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from personavlm.deployments.origins import NOBODY, working_for
from personavlm.memory_store import UserKey
from personavlm.platform.errors import EngineError

log = logging.getLogger(__name__)

MAX_USERS_AT_ONCE = 2
FIRST_RETRY_S = 1.0
LAST_RETRY_S = 60.0


class UpdateQueue:
    """One worker task per user that has something pending.

    What is pending is read from the store by ``work``, never kept here: losing this object loses
    nothing. ``work(user)`` does all that is pending for a user; it is never run twice at once for one.
    """

    def __init__(self, work: Callable[[UserKey], Awaitable[object]]) -> None:
        self._work = work
        self._slots = asyncio.Semaphore(MAX_USERS_AT_ONCE)
        self._again: dict[UserKey, float] = {}  # since when, by the monotonic clock
        self._working: dict[UserKey, float] = {}
        self._workers: dict[UserKey, asyncio.Task[None]] = {}
        self._paused: Counter[UserKey | str] = Counter()
        self.failures = 0
        """Attempts that ended in an error since the start."""

    def length(self) -> int:
        """Users whose work waits or is being done."""
        return len(self._again.keys() | self._working.keys())

    def lag_s(self) -> float:
        """How long the oldest thing that is pending has been so, by when this queue was told of it."""
        oldest = min((*self._again.values(), *self._working.values()), default=None)
        return 0.0 if oldest is None else time.monotonic() - oldest

    def notify(self, user: UserKey) -> None:
        """Something new is pending for this user."""
        self._again.setdefault(user, time.monotonic())
        self._start(user)

    def _start(self, user: UserKey) -> None:
        if user not in self._workers and not (self._paused[user] or self._paused[user.tenant]):
            with working_for(NOBODY):  # it outlives the request whose turn started it, and works for others
                self._workers[user] = asyncio.create_task(self._drain(user))
            self._workers[user].add_done_callback(_told)

    @asynccontextmanager
    async def paused(self, who: UserKey | str) -> AsyncIterator[None]:
        """``drop`` a user, or all users of a tenant, and begin nothing of theirs until the block ends."""
        self._paused[who] += 1
        try:
            for user in tuple(self._workers):
                if who in (user, user.tenant):
                    await self.drop(user)
            yield
        finally:
            self._paused[who] -= 1
            for user in tuple(self._again):
                self._start(user)

    async def drop(self, user: UserKey) -> None:
        """Stop this user's work at once. What was pending stays pending in the store."""
        self._again.pop(user, None)
        if worker := self._workers.get(user):
            worker.cancel()
            await asyncio.wait([worker])

    async def idle(self, user: UserKey) -> None:
        """Wait until everything that was pending for this user when called is done.

        Raises what ended the work early; it stays pending.
        """
        while worker := self._workers.get(user):
            await asyncio.shield(worker)  # who waits may give up, the work goes on

    async def _drain(self, user: UserKey) -> None:
        try:
            while user in self._again:
                self._working[user] = self._again.pop(user)
                async with self._slots:
                    await self._until_done(user)
        except Exception:
            self.failures += 1
            self._again[user] = self._working[user]  # still pending, however old it gets
            log.exception("the updates of a user stopped; they are taken up again with the next turn")
            raise
        finally:
            del self._workers[user]
            self._working.pop(user, None)

    async def _until_done(self, user: UserKey) -> None:
        """Repeat the work while the language model fails, ever more slowly."""
        delay = FIRST_RETRY_S
        while True:
            try:
                await self._work(user)
                return
            except EngineError as error:
                self.failures += 1
                log.warning("updates wait %.0f s: %s", delay, error)
            await asyncio.sleep(delay)
            delay = min(2 * delay, LAST_RETRY_S)


def _told(worker: asyncio.Task[None]) -> None:
    """Whether or not somebody waits, the log has its error by now: asyncio need not tell it again."""
    if not worker.cancelled():
        worker.exception()
