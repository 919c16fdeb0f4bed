"""From rewards of a group to advantages."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, stdev
from typing import Literal

EPSILON = 1e-4  # as TRL adds it, so that nearly equal rewards do not become large advantages

Scale = Literal["std", "none"]


def advantages(rewards: Sequence[float], scale: Scale = "std") -> list[float]:
    """How much better each answer is than its group: (R - mean) / (std + `EPSILON`), std over n - 1.

    With ``none`` the differences stay as they are (Dr. GRPO, Liu et al. 2025). Raises `ValueError` for fewer
    than two rewards: one answer alone is neither better nor worse.
    """
    if len(rewards) < 2:
        raise ValueError(f"a group of {len(rewards)} has no advantages; leave it out")
    mean = fmean(rewards)
    centred = [reward - mean for reward in rewards]
    if scale == "none":
        return centred
    spread = stdev(rewards) + EPSILON
    return [one / spread for one in centred]
