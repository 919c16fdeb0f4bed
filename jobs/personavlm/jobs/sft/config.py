"""Settings of supervised fine-tuning. The defaults are PersonaVLM's published recipe."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, model_validator

from personavlm.jobs.learning.config import LearnerConfig


class SftConfig(LearnerConfig):
    """One run."""

    data: Path
    """Conversations: a Parquet, JSON or JSON Lines file, a folder of them, or a folder of examples that
    `write_examples` wrote."""
    output: Path
    """The run's folder, which all nodes share: settings, checkpoints, figures. A run continues in it."""
    batch_size: int = Field(64, ge=1)
    """Sequences of one optimiser step, over all learners."""
    epochs: float = Field(1, gt=0)
    steps: int | None = Field(None, ge=1)
    """Optimiser steps, instead of ``epochs``."""
    ray_address: str = "local"
    """Of the cluster; "auto" is the one that this machine belongs to, "local" starts Ray here."""

    @model_validator(mode="after")
    def _everyone_has_work(self) -> SftConfig:
        if self.batch_size < self.strategy.workers:
            raise ValueError(
                f"batch_size ({self.batch_size}) leaves some of the {self.strategy.workers} learners without "
                "work; raise it, or lower strategy.workers"
            )
        return self
