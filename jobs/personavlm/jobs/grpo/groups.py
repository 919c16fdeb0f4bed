"""What rollouts bring to the controller: groups of judged answers to one question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from personavlm.jobs.trajectories import Trajectory


@dataclass(frozen=True, slots=True)
class Row:
    """One judged rollout. ``figures`` are the parts of its reward and counts, for the metrics."""

    trajectory: Trajectory
    reward: float
    figures: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Group:
    """The rollouts of question ``number`` of the task's stream.

    ``failed`` counts those whose engine, memory or judge failed: they have no row, never a reward of 0.
    """

    number: int
    rows: tuple[Row, ...]
    failed: int = 0

    @property
    def flat(self) -> bool:
        """Whether all rewards are the same, so that there is nothing to learn from."""
        return len({row.reward for row in self.rows}) == 1


class RolloutWorker(Protocol):
    """Methods of a Ray actor, called with ``.remote``."""

    def sync(self, version: str, weights: Sequence[Any]) -> None:
        """Sample with these weights from now on: one ``ObjectRef`` in a list, as `Feed.trained` is given."""
        ...

    def group(self, number: int, size: int) -> Group:
        """Answer question ``number`` so many times, and judge each answer as it ends."""
        ...
