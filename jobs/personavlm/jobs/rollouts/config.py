"""How questions are rolled out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from personavlm.platform.config_section import Section
from personavlm.platform.engine_config import EngineConfig, TransformersEngineConfig, VllmEngineConfig

Span = tuple[Annotated[int, Field(ge=0)], Annotated[int, Field(ge=0)]]


class GymTaskConfig(Section):
    """Questions of the gym, with its exact judge and its wording."""

    kind: Literal["gym"]
    questions: Path
    """A file of questions."""


class QuestionTaskConfig(Section):
    """Questions of a file or folder of Parquet or JSON; a model judges."""

    kind: Literal["questions"]
    path: Path
    tenant: str = "train"
    """Whose users the questions name."""


TaskConfig = Annotated[GymTaskConfig | QuestionTaskConfig, Field(discriminator="kind")]


class SamplingConfig(Section):
    """Of the policy. Ratios are only right against the distribution that was sampled from: the whole one."""

    temperature: float = Field(1.0, gt=0, le=2)
    top_p: float = 1.0
    top_k: int = -1
    repetition_penalty: float = 1.0
    max_tokens: int = Field(1024, ge=8)
    """Longest step, in tokens."""
    max_retrievals: int = Field(3, ge=0, le=10)
    k_episodic: Span = (2, 5)
    """From and to: how many episodes a search brings at most is drawn once for each group."""
    k_semantic: Span = (3, 6)
    paper_compat: bool = False
    """As published: a search ignores what the policy asked for and takes the user's message instead, the
    number of hits is drawn anew for each search, and who answers options without a search is made to."""

    @model_validator(mode="after")
    def _samples_everything(self) -> SamplingConfig:
        whole = {"top_p": 1.0, "top_k": -1, "repetition_penalty": 1.0}
        for name, value in whole.items():
            if getattr(self, name) != value:
                raise ValueError(
                    f"sampling.{name} is {getattr(self, name)}, but log-probabilities of a cut distribution "
                    f"do not match the learner's, which biases every ratio; set it to {value}"
                )
        for name in ("k_episodic", "k_semantic"):
            first, last = getattr(self, name)
            if first > last:
                raise ValueError(f"sampling.{name} goes from {first} to {last}; write the smaller one first")
        return self


class RolloutConfig(Section):
    """Processes that let the policy answer, each with an engine of its own."""

    engine: EngineConfig
    """A token engine: transformers or vllm. Its ``model`` is where the policy begins."""
    memory: Path
    """A closed store of the questions' users: a folder with a store, or of a service. Only read."""
    prompts: Path | None = None
    """A folder of templates; by default the platform's own, or the gym's in the gym."""
    sampling: SamplingConfig = SamplingConfig()
    workers: int = Field(1, ge=1)
    cpus_per_worker: float = Field(1, ge=0)
    gpus_per_worker: float = Field(0, ge=0)
    concurrency: int = Field(128, ge=1)
    """Episodes under way at once in one worker."""
    episode_timeout_s: float = Field(600, gt=0)
    group_timeout_s: float = Field(1800, gt=0)
    start_timeout_s: float = Field(600, gt=0)
    """For a worker to load its engine, and to take new weights."""
    max_restarts: int = Field(3, ge=0)
    """How often lost workers are replaced, all together."""

    @model_validator(mode="after")
    def _keeps_ids(self) -> RolloutConfig:
        if not isinstance(self.engine, TransformersEngineConfig | VllmEngineConfig):
            raise ValueError(
                f"rollouts.engine.kind {self.engine.kind} gives no ids with log-probabilities, and a text "
                "encoded again gives other ids; use transformers or vllm"
            )
        return self
