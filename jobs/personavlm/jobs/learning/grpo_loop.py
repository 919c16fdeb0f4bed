"""What every learner process of GRPO runs inside of Ray Train: pull a batch, learn, hand out the weights."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import ray

from personavlm.jobs.learning.checkpointing import load, save
from personavlm.jobs.learning.feed import GrpoRun, version_of
from personavlm.jobs.learning.grpo_step import GrpoStep
from personavlm.jobs.learning.learner import Learner
from personavlm.jobs.learning.saved import SavedCheckpoints
from personavlm.jobs.learning.workers import join_world, report
from personavlm.jobs.trajectories import Weighted
from personavlm.platform.errors import CommandError


def train_loop(config: Mapping[str, GrpoRun]) -> None:
    """Learn until the feed ends. ``config["run"]`` is a `GrpoRun`.

    A process that was started again continues at the newest checkpoint and asks the feed for its step again.
    A feed that answers too late stops the run, with a checkpoint of what was learned.
    """
    run = config["run"]
    learner = Learner(run.learner, run.images, run.steps, join_world(run.learner))
    kept = SavedCheckpoints(run.output / "checkpoints", run.learner.checkpoints.keep)
    if saved := kept.newest():
        load(learner, saved)
    loop = _Loop(run, learner, kept, learner.step)
    loop.publish({})
    step = GrpoStep(learner, run.learner)
    while (batch := loop.next_batch()) is not None:
        started = time.perf_counter()
        figures = step(batch)
        loop.publish(figures | {"learner_seconds": time.perf_counter() - started})
        if learner.step % run.learner.checkpoints.every == 0:
            loop.keep()
        report(figures)
    loop.keep()


class _Loop:
    """The feed and the checkpoints of one process."""

    def __init__(self, run: GrpoRun, learner: Learner, kept: SavedCheckpoints, saved_step: int) -> None:
        self._run, self._learner, self._kept, self._saved_step = run, learner, kept, saved_step

    def next_batch(self) -> list[Weighted] | None:
        """Wait for the batch of the next update. Raises `CommandError` after the time limit."""
        limit = self._run.learner.feed_timeout_s
        try:
            batch: list[Weighted] | None = ray.get(
                self._run.feed.batch.remote(self._learner.step), timeout=limit
            )
        except ray.exceptions.GetTimeoutError as error:
            self.keep()
            raise CommandError(
                f"no batch came for step {self._learner.step} within {limit:g} s (feed_timeout_s); "
                "a checkpoint was written, the run continues from there"
            ) from error
        return batch

    def publish(self, figures: Mapping[str, float]) -> None:
        """Hand out the newest weights. All processes gather them, the first one has them."""
        weights = self._learner.weights()
        if self._learner.world.rank == 0:
            step = self._learner.step
            handed = self._run.feed.trained.remote(step, version_of(step), dict(figures), [ray.put(weights)])
            ray.get(handed, timeout=self._run.learner.feed_timeout_s)

    def keep(self) -> None:
        """Write a checkpoint, unless this step has one."""
        if self._saved_step != self._learner.step:
            save(self._learner, self._kept, self._state())
            self._saved_step = self._learner.step

    def _state(self) -> dict[str, Any]:
        return {"version": version_of(self._learner.step)}
