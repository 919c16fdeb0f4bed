"""What `python -m personavlm.jobs.grpo` is told. The defaults are PersonaVLM's published recipe, with what
its release does wrong put right: see `SamplingConfig.paper_compat` and `RewardConfig`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from personavlm.jobs.learning.config import GrpoLearnerConfig
from personavlm.jobs.rewards.config import JudgeConfig, JudgingConfig, RewardConfig
from personavlm.jobs.rollouts.config import GymTaskConfig, RolloutConfig, TaskConfig
from personavlm.platform.config_section import Section
from personavlm.platform.engine_config import LocalModelConfig


class GrpoConfig(Section):
    """A run. All nodes must see ``output``."""

    output: Path
    """The run's folder: checkpoints, metrics, rollouts, images. A run that was stopped continues from it."""
    task: TaskConfig
    rollouts: RolloutConfig
    learner: GrpoLearnerConfig
    rewards: RewardConfig = RewardConfig()
    judging: JudgingConfig = JudgingConfig()
    judge: JudgeConfig | None = None
    """Needed where the task has no judge of its own."""
    steps: int = Field(400, ge=1)
    """Batches."""
    prompts: int = Field(12, ge=1)
    """Questions in each step."""
    group_size: int = 6
    """Answers to each question."""
    staleness: Literal[0, 1] = 0
    """How many updates the weights that roll out may be behind. 1 rolls out while the learner learns."""
    most_groups: float = Field(1.0, ge=1)
    """Dynamic sampling: groups whose rewards are all alike teach nothing and are replaced, until a step has
    asked for ``most_groups`` times ``prompts``."""
    scale_advantages: bool = True
    """Divide by the group's deviation."""
    most_failed: float = Field(0.5, gt=0, le=1)
    """The run stops, with a checkpoint, when more than this share of a step's rollouts failed."""
    seed: int = 0

    @model_validator(mode="after")
    def _fits_together(self) -> GrpoConfig:
        if self.group_size < 2:
            raise ValueError(
                f"group_size is {self.group_size}, but an answer is compared with others to its question; "
                "give at least 2"
            )
        if self.learner.loss.temperature != self.rollouts.sampling.temperature:
            raise ValueError(
                f"learner.loss.temperature ({self.learner.loss.temperature}) and "
                f"rollouts.sampling.temperature ({self.rollouts.sampling.temperature}) must be the same, or "
                "ratios compare different distributions"
            )
        engine = self.rollouts.engine
        if isinstance(engine, LocalModelConfig) and engine.model != self.learner.policy.model:
            raise ValueError(
                f"rollouts.engine.model ({engine.model}) is not learner.policy.model "
                f"({self.learner.policy.model}); the policy that answers is the one that learns"
            )
        if self.judge is None and not isinstance(self.task, GymTaskConfig):
            raise ValueError("judge: these questions need a model that judges; name one under judge.engine")
        self.learner.loss.require_staleness(self.staleness)
        return self

    @property
    def stride(self) -> int:
        """Updates that the learner makes of each batch."""
        return self.learner.loss.updates

    @property
    def updates(self) -> int:
        """Of the whole run. Steps are counted in updates."""
        return self.steps * self.stride

    @property
    def images(self) -> Path:
        """What trajectories name."""
        return self.output / "images"

    @property
    def most_asked(self) -> int:
        """Groups that one step may ask for."""
        return int(self.prompts * self.most_groups)
