"""SFT and GRPO in one process, without Ray: the parts of the platform, called one after the other."""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

import torch
from safetensors.torch import save_file

from personavlm.jobs.evaluate.evaluation import SAMPLED, Evaluation
from personavlm.jobs.images import ImageFolder
from personavlm.jobs.learning.checkpointing import save
from personavlm.jobs.learning.grpo_step import GrpoStep
from personavlm.jobs.learning.learner import Learner
from personavlm.jobs.learning.saved import SavedCheckpoints, copy_around_weights
from personavlm.jobs.learning.strategies import World
from personavlm.jobs.learning.supervised import supervised_step
from personavlm.jobs.rewards.reward import Parts
from personavlm.jobs.rollouts.tasks import Question
from personavlm.jobs.trajectories import Example, Trajectory, Weighted
from personavlm.platform.engine_config import TransformersEngineConfig
from personavlm.platform.engines.transformers import TransformersEngine
from tests.benchmarks.gym_parts.recipe import Recipe, grpo_config, sft_config

CONTEXT = 2048
EPSILON = 1e-4  # beside a group's deviation
ALONE = World(0, 1, torch.device("cpu"))

Watch = Callable[[str, int, float], None]
"""Told of progress: stage, step, loss or mean reward."""


def open_engine(model: Path) -> TransformersEngine:
    """The engine that samples and evaluates."""
    return TransformersEngine(
        TransformersEngineConfig(kind="transformers", model=str(model), context_tokens=CONTEXT, max_batch=128)
    )


def supervise(
    recipe: Recipe,
    model: Path,
    examples: Sequence[Example],
    folder: Path,
    seed: int,
    watch: Watch,
) -> Path:
    """SFT; the folder of the checkpoint that came of it."""
    steps = recipe.sft_steps
    learner = Learner(sft_config(recipe, model, seed), folder / "images", steps, ALONE)
    batches = _batches(examples, recipe.sft_batch, Random(seed))
    for step in range(steps):
        figures = supervised_step(learner, next(batches))
        watch("SFT", step, figures["loss"])
    return _saved(learner, folder / "sft")


def _batches(examples: Sequence[Example], size: int, random: Random) -> Iterator[list[Example]]:
    while True:
        order = random.sample(range(len(examples)), len(examples))
        for start in range(0, len(order) - size + 1, size):
            yield [examples[at] for at in order[start : start + size]]


class Reinforcement:
    """GRPO with rollouts through the agent, its store and an engine in this process."""

    def __init__(self, recipe: Recipe, model: Path, evaluation: Evaluation, folder: Path, seed: int) -> None:
        self._recipe, self._folder = recipe, folder
        self._rollouts = replace(evaluation, settings=replace(evaluation.settings, logprobs=True))
        self._images = ImageFolder(folder / "images")
        config = grpo_config(recipe, model, seed)
        self._learner = Learner(config, folder / "images", recipe.iterations, ALONE)
        self._step = GrpoStep(self._learner, config)
        self._engine = open_engine(model)

    def run(self, watch: Watch) -> Path:
        """All iterations; the folder of the last checkpoint."""
        return asyncio.run(self._run(watch))

    async def _run(self, watch: Watch) -> Path:
        questions, size = self._rollouts.questions, self._recipe.prompts
        for step in range(self._recipe.iterations):
            batch = questions[step * size : (step + 1) * size]
            groups = await asyncio.gather(*(self._group(one) for one in batch))
            rewards = [score.reward() for group in groups for score, _ in group]
            self._step([row for group in groups for row in _weighted(group)])
            watch("GRPO", step, statistics.fmean(rewards))
            await self._engine.update_weights(str(self._handed_over()), f"step-{step + 1}")
        await self._engine.close()
        return _saved(self._learner, self._folder / "grpo")

    def _handed_over(self) -> Path:
        """The learner's weights as a checkpoint that the engine reads."""
        folder = self._folder / "newest"
        folder.mkdir(exist_ok=True)
        copy_around_weights(self._learner.checkpoint, folder)
        save_file(self._learner.weights(), folder / "model.safetensors", metadata={"format": "pt"})
        return folder

    async def _group(self, question: Question) -> list[tuple[Parts, Trajectory]]:
        tasks = (self._rollout(question) for _ in range(self._recipe.group))
        return await asyncio.gather(*tasks)

    async def _rollout(self, question: Question) -> tuple[Parts, Trajectory]:
        outcome = await self._rollouts.answer(self._engine, question, SAMPLED)
        for image in outcome.conversation.images:
            memory = self._rollouts.memory(question.message)
            self._images.add(await memory.image(question.message.user, image.sha256))
        return self._rollouts.score(question, outcome), Trajectory.of(outcome.conversation)


def _weighted(group: Sequence[tuple[Parts, Trajectory]]) -> list[Weighted]:
    """Rewards as advantages within the group; nothing to learn where all are alike."""
    rewards = [score.reward() for score, _ in group]
    mean, deviation = statistics.fmean(rewards), statistics.stdev(rewards)
    if deviation == 0:
        return []
    return [
        Weighted(trajectory, (reward - mean) / (deviation + EPSILON))
        for reward, (_, trajectory) in zip(rewards, group, strict=True)
    ]


def _saved(learner: Learner, folder: Path) -> Path:
    kept = SavedCheckpoints(folder, keep=1)
    save(learner, kept, {})
    newest = kept.newest()
    assert newest is not None
    return newest.path
