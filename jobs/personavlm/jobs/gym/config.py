"""What `python -m personavlm.jobs.gym` is told. The defaults are the smallest recipe seen to work."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from personavlm.jobs.gym.worlds import WorldConfig
from personavlm.platform.config_section import Section


class NoiseConfig(Section):
    """What is wrong with the teacher's lessons, so that rewards have something left to teach."""

    share: float = Field(0.75, ge=0, le=1)
    """Of all lessons that are corrupted."""
    skip: float = Field(4, ge=0)
    """How often, beside the others, a corrupted lesson answers by guessing instead of searching."""
    broken: float = Field(1, ge=0)
    """Likewise: it leaves out a tag."""
    period: float = Field(0, ge=0)
    """Likewise: it searches in a wrong time."""


class NetworkConfig(Section):
    """Sizes of the policy made from nothing."""

    hidden: int = Field(64, ge=16)
    layers: int = Field(2, ge=2)
    feed_forward: int = Field(192, ge=16)


class GymConfig(Section):
    """One run's beginnings."""

    output: Path
    """The folder to prepare: checkpoint, store, questions, lessons, and settings of the jobs that follow."""
    seed: int = 0
    world: WorldConfig = WorldConfig()
    """What is rewarded and asked."""
    taught: WorldConfig | None = None
    """What lessons are about, if anything else. Answering with letters is learned from many lessons with
    options: a ``choice_share`` of 0.7 where 0.35 is asked."""
    network: NetworkConfig = NetworkConfig()
    noise: NoiseConfig = NoiseConfig()
    demonstrations: int = Field(8000, ge=1)
    """Lessons for SFT."""
    sft_steps: int = Field(1000, ge=1)
    rewarded: int = Field(960, ge=16)
    """Questions for GRPO, 16 a step."""
    grpo_rate: float = Field(1e-3, gt=0)
    """Learning rate of GRPO; 0.0005 where letters are to stay bound to their options."""
    asked: int = Field(500, ge=1)
    """Questions of the evaluation, about users that no training sees."""
