"""Who decides what is rolled out next: asks for groups, turns them into batches, hands out weights.

Plain asyncio: it knows no Ray and no PyTorch. With staleness 0 a batch is begun when the learner asks for it;
with 1, as soon as the batch before is handed out. Everything else is the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from time import perf_counter
from typing import Any, Protocol

from personavlm.jobs.grpo.advantages import advantages
from personavlm.jobs.grpo.config import GrpoConfig
from personavlm.jobs.grpo.counters import Counters, CountersFile
from personavlm.jobs.grpo.figures import batch_figures
from personavlm.jobs.learning.feed import version_of
from personavlm.jobs.rollouts.groups import Group, Order, Rollout
from personavlm.jobs.rollouts.records import Record
from personavlm.jobs.rollouts.tasks import Task
from personavlm.jobs.trajectories import Weighted
from personavlm.platform.errors import PlatformError

KEPT_BATCHES = 2


class RunStopped(PlatformError):
    """The run cannot go on; says why. What was learned is kept."""


class Workers(Protocol):
    """Who rolls out."""

    async def group(self, order: Order) -> Group:
        """Roll a group out. Raises `RunStopped` where that cannot be done any more."""
        ...

    async def take_weights(self, version: str, weights: Sequence[Any]) -> None:
        """Roll out with these weights from now on. Raises `RunStopped`."""
        ...


class Log(Protocol):
    """Where figures and rollouts of a run are kept."""

    def write(self, step: int, figures: Mapping[str, float]) -> None: ...

    def keep(self, records: Sequence[Record]) -> None: ...


class Controller:
    """One run."""

    def __init__(
        self, config: GrpoConfig, task: Task, workers: Workers, counters: CountersFile, log: Log
    ) -> None:
        self._config, self._task, self._workers = config, task, workers
        self._file, self._log = counters, log
        self._batches: dict[int, asyncio.Task[list[Weighted]]] = {}
        self._figures: dict[int, dict[str, float]] = {}
        self._newest = -1
        self._changed = asyncio.Condition()
        self._learner_since = perf_counter()
        self._in_flight = self._done = 0
        self.reason = ""

    async def batch(self, step: int) -> list[Weighted] | None:
        """The batch of update ``step``; ``None`` at the end, or where the run had to stop (``reason``)."""
        if self.reason or step >= self._config.updates:
            return None
        asked = perf_counter()
        try:
            rows = await asyncio.shield(self._begun(step))
        except RunStopped as error:
            self.reason = str(error)
            return None
        now = perf_counter()
        self._figures[step]["learner_idle"] = (now - asked) / max(1e-9, now - self._learner_since)
        self._learner_since = now
        following = step + self._config.stride
        if self._config.staleness and following < self._config.updates:
            self._begun(following)
        return rows

    async def trained(
        self, step: int, version: str, metrics: Mapping[str, float], weights: Sequence[Any]
    ) -> None:
        """The weights after ``step`` updates: hand them to the workers before anybody rolls out with older
        ones than allowed."""
        if metrics:
            self._log.write(step, {**metrics, **self._figures.pop(step - self._config.stride, {})})
        try:
            await self._workers.take_weights(version, weights)
        except RunStopped as error:
            self.reason = str(error)
        async with self._changed:
            self._newest = step
            self._changed.notify_all()

    def progress(self) -> dict[str, int]:
        """Where the run is: update, groups in flight, groups done for the batch."""
        return {"step": max(0, self._newest), "in_flight": self._in_flight, "done": self._done}

    def _begun(self, step: int) -> asyncio.Task[list[Weighted]]:
        """The task that makes a batch; a learner that went back gets the same questions again."""
        if step not in self._batches:
            for other in [
                one for one in self._batches if one > step or one <= step - KEPT_BATCHES * self._config.stride
            ]:
                self._batches.pop(other).cancel()
            self._batches[step] = asyncio.create_task(self._made(step))
        return self._batches[step]

    async def _made(self, step: int) -> list[Weighted]:
        oldest = step - self._config.staleness * self._config.stride
        async with self._changed:
            await self._changed.wait_for(lambda: self._newest >= oldest or self.reason)
        if self.reason:
            raise RunStopped(self.reason)
        counters, started = self._file.at(step), perf_counter()
        groups = await self._groups(counters)
        known = {version_of(number) for number in range(oldest, step + 1)}
        rows, records = self._weighted(step, groups, known)
        self._log.keep(records)
        self._figures[step] = batch_figures(records, rows, perf_counter() - started, len(groups))
        self._require_enough(records, rows)
        accepted = len({record.group for record in records if record.advantage is not None})
        self._file.write(
            Counters(
                step=step + self._config.stride,
                consumed=counters.consumed + len(groups),
                accepted=counters.accepted + accepted,
                version=version_of(self._newest),
            )
        )
        return rows

    async def _groups(self, counters: Counters) -> list[Group]:
        """As many as a step needs, in order of their numbers; replaced by dynamic sampling within bounds."""
        found: list[Group] = []
        asked, self._done = self._config.prompts, 0
        waiting = {self._asked(counters.consumed + number) for number in range(asked)}
        try:
            while waiting:
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    found.append(task.result())
                    self._done += 1
                    if asked < self._config.most_asked and not _teaches(found[-1]):
                        waiting.add(self._asked(counters.consumed + asked))
                        asked += 1
        finally:
            for task in waiting:
                task.cancel()
        return sorted(found, key=lambda group: group.number)

    def _asked(self, number: int) -> asyncio.Task[Group]:
        question = self._task.question(number)
        order = Order(number, question, self._config.group_size, self._config.seed)
        return asyncio.create_task(self._rolled_out(order))

    async def _rolled_out(self, order: Order) -> Group:
        self._in_flight += 1
        try:
            return await self._workers.group(order)
        finally:
            self._in_flight -= 1

    def _weighted(
        self, step: int, groups: Sequence[Group], versions: set[str]
    ) -> tuple[list[Weighted], list[Record]]:
        """Rows to learn from, and what to keep of every rollout."""
        rows: list[Weighted] = []
        records: list[Record] = []
        replaces = self._config.most_asked > self._config.prompts
        teaching = [group for group in groups if _teaches(group)]
        for group in groups:
            rollouts = [_fresh(one, versions) for one in group.rollouts]
            worth = advantages([one.reward for one in rollouts], scale=self._config.scale_advantages)
            if replaces and teaching and group not in teaching:
                worth = [None] * len(worth)
            for rollout, advantage in zip(rollouts, worth, strict=True):
                records.append(rollout.record.model_copy(update={"step": step, "advantage": advantage}))
                if advantage is not None and rollout.trajectory is not None:
                    rows.append(Weighted(rollout.trajectory, advantage))
        return rows, records

    def _require_enough(self, records: Sequence[Record], rows: Sequence[Weighted]) -> None:
        failed = [record.failure for record in records if record.reward is None]
        if not rows or len(failed) > self._config.most_failed * len(records):
            reason = max(set(failed), key=failed.count) if failed else "too few rewards in each group"
            raise RunStopped(
                f"{len(failed)} of {len(records)} rollouts of a step failed (most_failed is "
                f"{self._config.most_failed:g}), most often: {reason}"
            )


def _teaches(group: Group) -> bool:
    """Whether its rewards differ."""
    return any(advantages([one.reward for one in group.rollouts]))


def _fresh(rollout: Rollout, versions: set[str]) -> Rollout:
    """The rollout, or without its reward where older weights sampled it than allowed."""
    old = set(rollout.record.versions) - versions
    if rollout.reward is None or not old:
        return rollout
    failure = f"sampled by weights that are too old: {', '.join(sorted(old))}"
    return Rollout(rollout.record.model_copy(update={"failure": failure, "reward": None}))
