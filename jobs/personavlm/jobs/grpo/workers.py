"""Rollout workers on Ray: groups go to whoever has least to do, and who is lost is replaced."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import ray

from personavlm.jobs.grpo.controller import RunStopped
from personavlm.jobs.grpo.weight_sync import WeightSync
from personavlm.jobs.rollouts.config import RolloutConfig
from personavlm.jobs.rollouts.groups import Group, Order
from personavlm.platform.errors import EngineError

log = logging.getLogger(__name__)

LOST = (ray.exceptions.RayActorError, ray.exceptions.ObjectLostError, TimeoutError, EngineError)
"""What says that a worker, or the engine inside of it, is gone or stuck."""


@dataclass(slots=True, eq=False)
class _Place:
    """Where one worker runs. ``incarnation`` counts those before it."""

    number: int
    worker: Any
    incarnation: int = 0
    busy: int = 0


class RayWorkers:
    """`Workers` of a controller. ``make`` starts the worker of a place by its number."""

    def __init__(self, config: RolloutConfig, sync: WeightSync, make: Callable[[int], Any]) -> None:
        self._config, self._sync, self._make = config, sync, make
        self._places: list[_Place] = []
        self._restarts = 0
        self._replacing = asyncio.Lock()

    async def start(self) -> list[int]:
        """Start all of them; their process ids. Raises `RunStopped` where one does not start."""
        self._places = [_Place(number, self._make(number)) for number in range(self._config.workers)]
        try:
            async with asyncio.timeout(self._config.start_timeout_s):
                started = await asyncio.gather(*(place.worker.pid.remote() for place in self._places))
                await self._sync.begin([place.worker for place in self._places])
        except TimeoutError as error:
            raise RunStopped(
                f"rollout workers did not start within {self._config.start_timeout_s:g} s "
                "(rollouts.start_timeout_s)"
            ) from error
        except ray.exceptions.RayError as error:
            raise RunStopped(f"a rollout worker cannot start: {reason_of(error)}") from error
        return list(started)

    async def group(self, order: Order) -> Group:
        """By the worker with the fewest groups; by another where that one is lost."""
        while True:
            place = min(self._places, key=lambda one: one.busy)
            incarnation = place.incarnation
            place.busy += 1
            try:
                async with asyncio.timeout(self._config.group_timeout_s):
                    group: Group = await place.worker.group.remote(order)
                return group
            except LOST as error:
                await self._replace(place, incarnation, error)
            finally:
                place.busy -= 1

    async def take_weights(self, version: str, weights: Sequence[Any]) -> None:
        """To all of them; who cannot take them is replaced, which gives them the newest as well."""
        lost = []
        try:
            async with asyncio.timeout(self._config.start_timeout_s):
                await self._sync.send([place.worker for place in self._places], version, weights)
        except LOST:
            lost = [(place, place.incarnation) for place in self._places]
        for place, incarnation in lost:
            try:
                async with asyncio.timeout(self._config.start_timeout_s):
                    await self._sync.catch_up(place.worker)
            except LOST as error:
                await self._replace(place, incarnation, error)

    async def _replace(self, place: _Place, incarnation: int, error: BaseException) -> None:
        async with self._replacing:
            if place.incarnation != incarnation:
                return
            if self._restarts >= self._config.max_restarts:
                raise RunStopped(
                    f"a rollout worker was lost ({reason_of(error)}) after {self._restarts} were replaced "
                    "(rollouts.max_restarts)"
                ) from error
            log.warning("rollout worker %d is replaced: %s", place.number, reason_of(error))
            self._restarts += 1
            place.incarnation += 1
            ray.kill(place.worker)
            place.worker = self._make(place.number)
            try:
                async with asyncio.timeout(self._config.start_timeout_s):
                    await place.worker.pid.remote()
                    await self._sync.catch_up(place.worker)
            except (TimeoutError, ray.exceptions.RayError) as failure:
                raise RunStopped(
                    f"a lost rollout worker cannot be replaced: {reason_of(failure)}"
                ) from failure


def reason_of(error: BaseException) -> str:
    """What the innermost error says, in one line."""
    while (cause := getattr(error, "cause", None) or error.__cause__) is not None:
        error = cause
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
