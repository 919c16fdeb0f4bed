"""How GRPO samples: groups, staleness, limits. The defaults are PersonaVLM's published recipe."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from personavlm.jobs.grpo.advantages import Scale
from personavlm.jobs.grpo.pool_limits import PoolLimits
from personavlm.platform.config_section import Section


class SamplingPlan(Section):
    """What a step needs of rollouts."""

    steps: int = Field(400, ge=1)
    groups: int = Field(12, ge=1)
    """Groups of a batch, each the answers to one question."""
    group_size: int = 6
    """Answers to one question."""
    staleness: Literal[0, 1] = 0
    """1: the next batch is sampled while the learners learn from this one, with weights one step old."""
    dynamic_sampling: bool = True
    """Leave out groups whose answers all have the same reward, and ask further questions instead."""
    most_questions_factor: float = Field(3.0, ge=1)
    """At most so many times ``groups`` questions are asked for one batch; then it is smaller."""
    advantage_scale: Scale = "std"
    """``none``: advantages are differences from the mean (Dr. GRPO)."""
    most_failed: float = Field(0.25, ge=0, le=1)
    """The run stops where a larger share of a batch's rollouts has no verdict."""
    workers: int = Field(1, ge=1)
    """Rollout workers, each with an engine of its own."""
    group_timeout_s: float = Field(1800, gt=0)
    sync_timeout_s: float = Field(600, gt=0)
    worker_restarts: int = Field(8, ge=0)
    """How many lost workers are started again in the whole run."""

    @field_validator("group_size")
    @classmethod
    def _more_than_one(cls, size: int) -> int:
        if size < 2:
            raise ValueError(
                f"a group of {size} has nothing to be compared with; set a group_size of 2 or more"
            )
        return size

    @property
    def most_questions(self) -> int:
        """Of one batch."""
        return int(self.groups * self.most_questions_factor)

    def limits(self) -> PoolLimits:
        """For the pool of workers."""
        return PoolLimits(self.group_timeout_s, self.sync_timeout_s, self.worker_restarts)
