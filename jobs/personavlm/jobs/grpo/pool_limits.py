"""How long and how often the pool of rollout workers tries; needs no Ray."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """Seconds for one call, and how many lost workers are started again in the whole run."""

    group_s: float = 1800
    sync_s: float = 600
    restarts: int = 8
