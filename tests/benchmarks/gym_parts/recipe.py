"""How the gym's policies are trained: the smallest recipe that was seen to work on every seed."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from personavlm.jobs.gym.network import Network
from personavlm.jobs.gym.questions import ALL_KINDS
from personavlm.jobs.gym.worlds import TEXT_WORLD, WorldConfig
from personavlm.jobs.learning.config import (
    GrpoLearnerConfig,
    LearnerConfig,
    LossConfig,
    OptimiserConfig,
    PolicyConfig,
    StrategyConfig,
)

TOKENS = 1024
"""Longest sequence; most have fewer than 150."""
PACK_TOKENS = 4096


@dataclass(frozen=True, slots=True)
class Recipe:
    """Sizes and rates. A batch of GRPO is ``prompts`` times ``group`` rollouts.

    ``taught`` is the world of lessons, ``world`` that of rewards and of the evaluation. Lessons have options
    more often: with as few as are asked later, letters are still bound to nothing after 1,800 steps.
    """

    world: WorldConfig = TEXT_WORLD
    taught: WorldConfig = TEXT_WORLD
    network: Network = field(default_factory=Network)
    demonstrations: int = 8000
    sft_steps: int = 1000
    sft_batch: int = 32
    sft_rate: float = 4e-3
    iterations: int = 60
    prompts: int = 16
    group: int = 8
    grpo_rate: float = 1e-3
    updates: int = 2
    asked: int = 1000


OPEN = Recipe()
CHOICE = Recipe(
    world=WorldConfig(choice_share=0.35),
    taught=WorldConfig(choice_share=0.7),
    demonstrations=12_000,
    iterations=80,
    grpo_rate=5e-4,
)
FULL = Recipe(
    world=WorldConfig(kinds=ALL_KINDS, choice_share=0.35, images=True),
    taught=WorldConfig(kinds=ALL_KINDS, choice_share=0.7, images=True),
    network=Network(hidden=128, feed_forward=384, vision_hidden=64),
    demonstrations=16_000,
    sft_steps=1800,
    iterations=80,
    grpo_rate=5e-4,
)


def sft_config(recipe: Recipe, model: Path, seed: int) -> LearnerConfig:
    """The learner of SFT, alone in its process."""
    return LearnerConfig(
        policy=_policy(model),
        optimiser=OptimiserConfig(
            learning_rate=recipe.sft_rate, betas=(0.9, 0.98), weight_decay=0.05, floor=0.1
        ),
        strategy=_strategy(),
        seed=seed,
    )


def grpo_config(recipe: Recipe, model: Path, seed: int) -> GrpoLearnerConfig:
    """The learner of GRPO, likewise."""
    return GrpoLearnerConfig(
        policy=_policy(model),
        optimiser=OptimiserConfig(learning_rate=recipe.grpo_rate, betas=(0.9, 0.99), floor=1.0),
        strategy=_strategy(),
        loss=LossConfig(aggregation="seq", clip_high=0.2, updates=recipe.updates),
        seed=seed,
    )


def _policy(model: Path) -> PolicyConfig:
    return PolicyConfig(
        model=str(model),
        train_vision=True,
        max_tokens=TOKENS,
        precision="float32",
        gradient_checkpointing=False,
    )


def _strategy() -> StrategyConfig:
    return StrategyConfig(kind="ddp", device="cpu", pack_tokens=PACK_TOKENS)
