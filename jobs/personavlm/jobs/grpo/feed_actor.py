"""The controller as an actor: what learners pull from and bring their weights to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import ray

from personavlm.jobs.grpo.config import GrpoConfig
from personavlm.jobs.grpo.controller import Controller, RunStopped
from personavlm.jobs.grpo.counters import CountersFile
from personavlm.jobs.grpo.figures import RunLog
from personavlm.jobs.grpo.weight_sync import weight_sync
from personavlm.jobs.grpo.workers import RayWorkers
from personavlm.jobs.rollouts.build import build_task
from personavlm.jobs.rollouts.worker import RolloutWorker, WorkerSettings
from personavlm.jobs.trajectories import Weighted
from personavlm.platform.errors import CommandError

AT_ONCE = 10_000  # calls in one worker; how many episodes run is its own affair


class GrpoFeed:
    """A `personavlm.jobs.learning.feed.Feed`. Owns the rollout workers."""

    def __init__(self, config: GrpoConfig) -> None:
        settings = WorkerSettings(
            config.rollouts,
            config.task,
            config.rewards,
            config.judging,
            config.judge,
            config.images,
            config.seed,
        )
        rollouts = config.rollouts
        self._actor = ray.remote(RolloutWorker).options(
            num_cpus=rollouts.cpus_per_worker,
            num_gpus=rollouts.gpus_per_worker,
            max_concurrency=AT_ONCE,
        )
        self._sync = weight_sync(rollouts.engine)
        self._workers = RayWorkers(rollouts, self._sync, lambda number: self._actor.remote(settings))
        self._log = RunLog(config.output)
        counters = CountersFile(config.output / "counters.jsonl")
        self._controller = Controller(
            config, build_task(config.task, config.seed), self._workers, counters, self._log
        )

    async def start(self) -> list[int]:
        """Start the rollout workers; their process ids. Raises `CommandError`."""
        try:
            return await self._workers.start()
        except RunStopped as error:
            raise CommandError(str(error)) from error

    async def batch(self, step: int) -> list[Weighted] | None:
        """See `Feed`."""
        return await self._controller.batch(step)

    async def trained(
        self, step: int, version: str, metrics: Mapping[str, float], weights: Sequence[Any]
    ) -> None:
        """See `Feed`."""
        await self._controller.trained(step, version, metrics, weights)

    async def progress(self) -> dict[str, float]:
        """The newest figures, and where the run is."""
        return self._log.newest | {name: float(n) for name, n in self._controller.progress().items()}

    async def stopped(self) -> str:
        """Why the run stopped before its end; empty where it did not."""
        return self._controller.reason
