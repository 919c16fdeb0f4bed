"""Configuration of learning. The defaults are PersonaVLM's published recipe; needs no PyTorch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from personavlm.platform.config_section import Section


class LoraConfig(Section):
    """Train low-rank additions to the language model's projections instead of the weights."""

    rank: int = Field(64, ge=1)
    alpha: float = Field(128, gt=0)
    """The addition is multiplied by ``alpha / rank``."""
    targets: tuple[str, ...] = (
        "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj",
    )  # fmt: skip


class PolicyConfig(Section):
    """The model that learns."""

    model: str
    """A folder with a Qwen2.5-VL checkpoint, or a name of the model hub."""
    lora: LoraConfig | None = None
    """Without it all weights of the language model are trained."""
    train_vision: bool = False
    """Train the vision tower too."""
    train_merger: bool = True
    """Train the part that leads from the vision tower into the language model."""
    max_pixels: int = Field(230_400, ge=3_136)
    """Images are shrunk to this many pixels."""
    max_tokens: int = Field(16_384, ge=8)
    """The longest sequence, image tokens included. Longer ones are dropped and counted."""
    precision: Literal["float32", "bfloat16"] = "bfloat16"
    """Of the computation; optimised weights and their moments are kept in 32 bits."""
    gradient_checkpointing: bool = True
    """Compute activations again for the backward pass, instead of keeping them."""


class OptimiserConfig(Section):
    """AdamW, a linear warm-up, then a cosine down to a floor."""

    learning_rate: float = Field(2e-5, ge=0)
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = Field(1e-8, gt=0)
    weight_decay: float = Field(0.0, ge=0)
    warmup: float = Field(0.03, ge=0, le=1)
    """Share of all steps over which the rate rises."""
    floor: float = Field(0.0, ge=0, le=1)
    """The rate at the end, as a share of the highest."""
    max_norm: float = Field(1.0, gt=0)
    """Gradients longer than this are scaled down to it."""


class StrategyConfig(Section):
    """How learners share the work."""

    kind: Literal["ddp", "fsdp2", "deepspeed"] = "fsdp2"
    zero_stage: Literal[1, 2, 3] = 3
    """Of ``deepspeed``."""
    workers: int = Field(1, ge=1)
    """Learner processes, each with a GPU of its own where ``device`` is ``cuda``."""
    device: Literal["cpu", "cuda"] = "cuda"
    cpus_per_worker: int = Field(1, ge=1)
    pack_tokens: int = Field(16_384, ge=8)
    """Tokens that one process works on at once, several sequences side by side."""
    start_timeout_s: float = Field(600, gt=0)
    """Learners that have not all started by then are given up, with a message."""
    max_restarts: int = Field(3, ge=0)
    """How often lost learners are started again from the newest checkpoint."""

    @model_validator(mode="after")
    def _known_together(self) -> StrategyConfig:
        if self.kind == "deepspeed" and self.device == "cpu":
            raise ValueError("strategy.kind deepspeed needs strategy.device cuda; on a CPU use ddp or fsdp2")
        return self


class CheckpointConfig(Section):
    """When to keep what."""

    every: int = Field(200, ge=1)
    """Steps between two checkpoints."""
    keep: int = Field(2, ge=1)
    """How many of the newest checkpoints stay."""


class LearnerConfig(Section):
    """What SFT and GRPO have in common."""

    policy: PolicyConfig
    optimiser: OptimiserConfig = OptimiserConfig()
    strategy: StrategyConfig = StrategyConfig()
    checkpoints: CheckpointConfig = CheckpointConfig()
    seed: int = 0

    @model_validator(mode="after")
    def _packs_hold_a_sequence(self) -> LearnerConfig:
        if self.strategy.pack_tokens < self.policy.max_tokens:
            raise ValueError(
                f"strategy.pack_tokens ({self.strategy.pack_tokens}) is less than policy.max_tokens "
                f"({self.policy.max_tokens}), so the longest sequence would fit nowhere; raise the first"
            )
        return self


class LossConfig(Section):
    """The GRPO loss. Formulas: `personavlm.jobs.learning.losses`."""

    aggregation: Literal["token", "seq", "dr_grpo"] = "token"
    """``token``: every token counts the same (DAPO). ``seq``: every trajectory counts the same (GRPO,
    PersonaVLM). ``dr_grpo``: the sum divided by trajectories times ``max_completion_tokens``."""
    ratio: Literal["token", "sequence"] = "token"
    """``sequence`` is GSPO: one ratio for a trajectory, the geometric mean of its tokens' ratios."""
    clip_low: float = Field(0.2, gt=0, lt=1)
    clip_high: float = Field(0.28, gt=0)
    dual_clip: float | None = Field(None, gt=1)
    """The largest ratio that counts, whatever the advantage."""
    beta: float = Field(0.01, ge=0)
    """Weight of the divergence from the reference, the weights that training began with."""
    kl: Literal["k1", "k3"] = "k3"
    old_policy: Literal["rollout", "recomputed"] = "rollout"
    """Ratios against the log-probabilities recorded in the rollout, or against ones computed again before
    the first update of a batch, corrected by ``max_weight``."""
    max_weight: float | None = Field(2.0, gt=0)
    """With ``recomputed``: each token is weighted by its old over its sampled probability, at most this."""
    overlong_filter: bool = True
    """Learn nothing from trajectories that a length limit ended."""
    max_completion_tokens: int = Field(1024, ge=1)
    """With ``dr_grpo``."""
    temperature: float = Field(1.0, gt=0)
    """Of the sampling in rollouts."""
    updates: int = Field(1, ge=1)
    """Optimiser steps over each batch."""

    def require_staleness(self, staleness: int) -> None:
        """Raises `ValueError` where rollouts may be older than the weights and nothing would correct it."""
        if staleness and self.old_policy == "recomputed" and self.max_weight is None:
            raise ValueError(
                "loss.old_policy 'recomputed' makes every ratio 1, so stale rollouts go uncorrected; "
                "set loss.max_weight, or loss.old_policy: rollout"
            )


class GrpoLearnerConfig(LearnerConfig):
    """The learner of GRPO: the published rate, floor and warm-up."""

    optimiser: OptimiserConfig = OptimiserConfig(learning_rate=2e-6, warmup=0.05, floor=0.1)
    loss: LossConfig = LossConfig()
    reference: str | None = None
    """Another checkpoint to stay close to; by default the one that training begins with. Where ``beta`` is
    not 0 it takes memory as a second model, unless ``policy.lora`` is all that is trained."""
    feed_timeout_s: float = Field(7200, gt=0)
    """A batch that takes longer than this to come stops the learner with a checkpoint and a reason."""
