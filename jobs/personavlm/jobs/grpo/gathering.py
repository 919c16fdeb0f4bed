"""One batch: ask questions until there are enough groups to learn from."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from statistics import fmean

from personavlm.jobs.grpo.advantages import Scale, advantages
from personavlm.jobs.grpo.groups import Group, Row
from personavlm.jobs.grpo.schedule import Counters
from personavlm.jobs.trajectories import Weighted

Ask = Callable[[int], Awaitable[Group]]
"""All rollouts of one question, by its number."""


@dataclass(frozen=True, slots=True)
class Demand:
    """What a batch needs: ``groups``, found among at most ``most`` questions, so many asked at once."""

    groups: int
    most: int
    at_once: int
    drop_flat: bool = True


@dataclass(frozen=True, slots=True)
class Batch:
    """``used`` groups are learned from; ``seen`` are all that were sampled for them."""

    before: Counters
    after: Counters
    used: tuple[Group, ...]
    seen: tuple[Group, ...]

    def weighted(self, scale: Scale) -> list[Weighted]:
        """The rows with their advantages."""
        return [
            Weighted(row.trajectory, advantage)
            for group in self.used
            for row, advantage in zip(
                group.rows, advantages([row.reward for row in group.rows], scale), strict=True
            )
        ]

    def figures(self) -> dict[str, float]:
        """Means over all judged rollouts, those of left out groups too, and what was left out."""
        rows = [row for group in self.seen for row in group.rows]
        return _means(rows) | {
            "groups": float(len(self.used)),
            "flat_groups": float(self.after.flat - self.before.flat),
            "short_groups": float(self.after.short - self.before.short),
            "failed_rollouts": float(self.after.failed - self.before.failed),
        }


async def gather(ask: Ask, demand: Demand, before: Counters) -> Batch:
    """Ask questions in their order until there are enough groups, or as many as are allowed were asked.

    Which questions a batch has depends on the answers alone, not on who was quick: groups are taken in the
    order of their numbers.
    """
    found = _Found(demand)
    asked: dict[int, asyncio.Task[Group]] = {}
    number = before.next_question
    try:
        while found.missing and number - before.next_question < demand.most:
            wanted = min(demand.at_once, found.missing)  # not more, or what nobody needs would be sampled
            for ahead in range(number, min(number + wanted, before.next_question + demand.most)):
                if ahead not in asked:
                    asked[ahead] = asyncio.ensure_future(ask(ahead))
            found.take(await asked.pop(number))
            number += 1
    finally:
        for task in asked.values():
            task.cancel()
        await asyncio.gather(*asked.values(), return_exceptions=True)
    return found.batch(before, number)


@dataclass(slots=True)
class _Found:
    demand: Demand
    seen: list[Group] = field(default_factory=list)
    used: list[Group] = field(default_factory=list)
    flat: int = 0
    short: int = 0

    @property
    def missing(self) -> int:
        return self.demand.groups - len(self.used)

    def take(self, group: Group) -> None:
        self.seen.append(group)
        if len(group.rows) < 2:
            self.short += 1
        elif group.flat and self.demand.drop_flat:
            self.flat += 1
        else:
            self.used.append(group)

    def batch(self, before: Counters, number: int) -> Batch:
        after = Counters(
            step=before.step + 1,
            next_question=number,
            consumed=before.consumed + sum(len(group.rows) for group in self.used),
            flat=before.flat + self.flat,
            short=before.short + self.short,
            failed=before.failed + sum(group.failed for group in self.seen),
        )
        return Batch(before, after, tuple(self.used), tuple(self.seen))


def _means(rows: Sequence[Row]) -> dict[str, float]:
    if not rows:
        return {}
    names = sorted({name for row in rows for name in row.figures})
    means = {name: fmean(row.figures.get(name, 0.0) for row in rows) for name in names}
    return means | {"reward": fmean(row.reward for row in rows), "rollouts": float(len(rows))}
