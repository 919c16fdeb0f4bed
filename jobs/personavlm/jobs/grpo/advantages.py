"""From rewards of a group to advantages.

A_i = (R_i - mean) / (std + epsilon) over the rollouts of the group that have a reward, std being the unbiased
one (Shao et al. 2024, as TRL and verl compute it); without ``scale`` the difference alone (Dr. GRPO, Liu et
al. 2025). A rollout without a reward is no rollout of reward 0: it is left out.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence

EPSILON = 1e-4
LEAST = 2
"""Rollouts with a reward that a group needs: one alone compares with nothing."""


def advantages(rewards: Sequence[float | None], *, scale: bool = True) -> list[float | None]:
    """The advantage of each rollout, 0 where all rewards are alike; ``None`` where it has no reward, or where
    too few have one."""
    known = [reward for reward in rewards if reward is not None]
    if len(known) < LEAST:
        return [None] * len(rewards)
    if max(known) == min(known):
        return [None if reward is None else 0.0 for reward in rewards]
    mean = statistics.fmean(known)
    divisor = statistics.stdev(known) + EPSILON if scale else 1.0
    return [None if reward is None else (reward - mean) / divisor for reward in rewards]
