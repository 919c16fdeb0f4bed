"""Rollout workers side by side: work goes to the least busy one, and a lost one is started again."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from ray.exceptions import RayActorError, RayTaskError

from personavlm.jobs.grpo.groups import Group
from personavlm.jobs.grpo.pool_limits import PoolLimits
from personavlm.platform.errors import PlatformError

log = logging.getLogger(__name__)
T = TypeVar("T")
Start = Callable[[int], Any]
"""Starts worker ``n``: the handle of an actor with the methods of `RolloutWorker`."""


class PoolError(PlatformError):
    """Rollouts cannot go on; the message says why."""


class RolloutPool:
    """``size`` workers. All of it belongs to one event loop."""

    def __init__(self, start: Start, size: int, group_size: int, limits: PoolLimits) -> None:
        self._start, self._group_size, self._limits = start, group_size, limits
        self._workers = {number: start(number) for number in range(size)}
        self._busy = Counter({number: 0 for number in range(size)})
        self._newest: tuple[str, Sequence[Any]] | None = None
        self._repairs: dict[int, asyncio.Task[None]] = {}
        self.restarts = 0

    @property
    def at_work(self) -> int:
        """Groups under way."""
        return self._busy.total()

    async def sync(self, version: str, weights: Sequence[Any]) -> None:
        """All workers sample with these weights once this returns. Raises `PoolError`."""
        self._newest = (version, weights)
        await asyncio.gather(*(self._synced(number) for number in self._workers))

    async def group(self, number: int) -> Group:
        """The judged answers to one question. Raises `PoolError` where no worker can be kept alive."""
        if self._newest is None:
            raise PoolError("rollouts were asked for before any weights came")
        while True:
            at = min(self._busy, key=lambda one: (self._busy[one], one))
            worker = self._workers[at]
            self._busy[at] += 1
            try:
                asked = worker.group.remote(number, self._group_size)
                group: Group = await asyncio.wait_for(asked, self._limits.group_s)
                return group
            except (RayActorError, TimeoutError) as error:
                log.warning("rollout worker %d was lost: %s", at, error)
                await self._replaced(at, worker)
            except RayTaskError as error:  # of these rollouts alone: they have no reward, not a bad one
                log.warning("question %d failed: %s", number, getattr(error, "cause", error))
                return Group(number, (), self._group_size)
            finally:
                self._busy[at] -= 1

    async def _synced(self, number: int) -> None:
        worker = self._workers[number]
        try:
            await self._sync(worker)
        except (RayActorError, TimeoutError) as error:
            log.warning("rollout worker %d was lost: %s", number, error)
            await self._replaced(number, worker)
        except RayTaskError as error:
            raise PoolError(f"new weights cannot be loaded: {getattr(error, 'cause', error)}") from error

    async def _sync(self, worker: Any) -> None:  # noqa: ANN401  a handle of Ray's
        if self._newest:
            version, weights = self._newest
            await asyncio.wait_for(worker.sync.remote(version, weights), self._limits.sync_s)

    async def _replaced(self, number: int, lost: Any) -> None:  # noqa: ANN401
        """Once a worker has taken the place of the lost one, whoever noticed the loss first."""
        if self._workers[number] is lost and number not in self._repairs:
            self._repairs[number] = asyncio.create_task(self._replace(number))
        if repair := self._repairs.get(number):
            await asyncio.shield(repair)

    async def _replace(self, number: int) -> None:
        import ray

        try:
            self.restarts += 1
            if self.restarts > self._limits.restarts:
                raise PoolError(
                    f"rollout workers were lost {self.restarts} times; their logs say why "
                    "(often memory: lower rollouts.concurrency or the engine's max_batch)"
                )
            ray.kill(self._workers[number])
            worker = self._start(number)
            await self._sync(worker)
            self._workers[number] = worker
        except (RayActorError, TimeoutError, RayTaskError) as error:
            raise PoolError(f"rollout worker {number} cannot be started again: {error}") from error
        finally:
            del self._repairs[number]
