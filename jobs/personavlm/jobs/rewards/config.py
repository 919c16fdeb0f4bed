"""What answers are worth, and who says so."""

from __future__ import annotations

from pydantic import Field, model_validator

from personavlm.platform.config_section import Section
from personavlm.platform.engine_config import EngineConfig, OpenAiEngineConfig


class RewardConfig(Section):
    """accuracy x consistency + ``format`` x form, 0 where nothing was answered; the method's has 0.5."""

    format: float = Field(0.5, ge=0)
    evidence: float = Field(0.0, ge=0)
    """Weight of the share of the question's evidence that a search brought."""
    retrieval_cost: float = Field(0.0, ge=0)
    """Taken off for each search."""


class JudgeConfig(Section):
    """A language model that judges. Not used where the task judges exactly."""

    engine: EngineConfig
    """A model behind an OpenAI-compatible server, normally."""
    max_tokens: int = Field(512, ge=16)
    temperature: float = Field(0.1, ge=0, le=2)

    @model_validator(mode="after")
    def _is_a_model_elsewhere(self) -> JudgeConfig:
        if not isinstance(self.engine, OpenAiEngineConfig):
            raise ValueError(
                "judge.engine.kind must be openai: every rollout worker asks it, so the model belongs behind "
                "a server of its own (vllm serve, for one)"
            )
        return self


class JudgingConfig(Section):
    """How hard to try. A verdict that cannot be had drops the rollout; it is never a score."""

    concurrency: int = Field(64, ge=1)
    """Verdicts that one rollout worker asks for at once."""
    timeout_s: float = Field(60, gt=0)
    attempts: int = Field(3, ge=1)
    pause_s: float = Field(0.5, ge=0)
    """Before the second attempt; doubled before each further one, and drawn anew between half and whole."""
    breaker_failures: int = Field(8, ge=1)
    """After so many rollouts in a row without a verdict nobody asks any more for ``breaker_rest_s``."""
    breaker_rest_s: float = Field(30, ge=0)
