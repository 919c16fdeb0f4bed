"""Groups made up for tests of the controller."""

from __future__ import annotations

from collections.abc import Sequence

from personavlm.jobs.grpo.groups import Group, Row
from personavlm.jobs.trajectories import Trajectory


def row(reward: float, version: str = "step-0", number: int = 0) -> Row:
    """A rollout of one sampled id, whose prompt tells the question."""
    trajectory = Trajectory((number + 1, 2), (False, True), (0.0, -0.5), ("", version))
    return Row(trajectory, reward, {"accuracy": reward})


def group(number: int, rewards: Sequence[float], failed: int = 0, version: str = "step-0") -> Group:
    """Rollouts of one question with these rewards."""
    return Group(number, tuple(row(reward, version, number) for reward in rewards), failed)
