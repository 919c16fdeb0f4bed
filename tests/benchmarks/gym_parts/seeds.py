"""One seed of the gym's acceptance: from nothing through SFT and GRPO, evaluated before and after."""

from __future__ import annotations

import asyncio
import resource
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from personavlm.jobs.evaluate.evaluation import MANNERS, Evaluation, Manner
from personavlm.jobs.evaluate.report import Report
from personavlm.jobs.gym.checkpoint import write_checkpoint
from personavlm.jobs.gym.demonstrations import demonstrations
from personavlm.jobs.gym.judge import verdict
from personavlm.jobs.gym.pack import gym_pack
from personavlm.jobs.gym.preparation import GymFolder, gym_store
from personavlm.jobs.gym.worlds import Asked, write_world
from personavlm.jobs.rollouts.memory import AsOfMemory
from personavlm.platform.agent.loop import AgentSettings
from personavlm.platform.engines.checkpoint import Checkpoint
from tests.benchmarks.gym_parts.in_process import Reinforcement, Watch, open_engine, supervise
from tests.benchmarks.gym_parts.recipe import Recipe

SETTINGS = AgentSettings(max_tokens=48)


@dataclass(slots=True)
class SeedResult:
    """Reports after each stage; ``seconds`` of CPU by stage; the most memory in MB."""

    reports: dict[str, Report] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    memory_mb: float = 0.0

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Count the CPU-seconds of a stage."""
        started = time.process_time()
        yield
        self.seconds[stage] = self.seconds.get(stage, 0.0) + time.process_time() - started
        self.memory_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def run_seed(recipe: Recipe, seed: int, folder: GymFolder, watch: Watch, *, control: bool) -> SeedResult:
    """SFT, GRPO and evaluations; with ``control`` also SFT that goes on for as many CPU-seconds as GRPO."""
    result = SeedResult()
    with gym_store(folder.memory) as store:
        with result.timed("preparation"):
            start = write_checkpoint(folder.checkpoint, seed, recipe.network)
            taught = write_world(store, "sft", seed, recipe.demonstrations, recipe.taught)
            checkpoint = Checkpoint.open(str(start))
            examples = demonstrations(
                taught, store, checkpoint, gym_pack(), folder.images, settings=SETTINGS, seed=seed
            )
            rewarded = write_world(store, "grpo", seed, recipe.iterations * recipe.prompts, recipe.world)
            asked = write_world(store, "evaluation", seed, recipe.asked, recipe.world)

        def evaluation(questions: Sequence[Asked]) -> Evaluation:
            public = [one.public for one in questions]
            return Evaluation(
                public, verdict, lambda message: AsOfMemory(store, message.now), gym_pack(), SETTINGS
            )

        with result.timed("SFT"):
            sft = supervise(recipe, start, examples, folder.path, seed, watch)
        with result.timed("evaluation"):
            result.reports["SFT"] = evaluate(sft, evaluation(asked))
        with result.timed("GRPO"):
            grpo = Reinforcement(recipe, sft, evaluation(rewarded), folder.path, seed).run(watch)
        with result.timed("evaluation"):
            result.reports["GRPO"] = evaluate(grpo, evaluation(asked))
        if control:
            more = replace(recipe, sft_steps=_steps_instead(recipe, result), sft_rate=recipe.sft_rate / 10)
            result.reports["control"] = evaluate(
                supervise(more, sft, examples, folder.path / "control", seed, watch), evaluation(asked)
            )
    return result


def _steps_instead(recipe: Recipe, result: SeedResult) -> int:
    """How many steps of SFT take as long as GRPO took."""
    return round(recipe.sft_steps * result.seconds["GRPO"] / result.seconds["SFT"])


def evaluate(model: Path, evaluation: Evaluation, manners: Sequence[Manner] = MANNERS) -> Report:
    """A checkpoint on fresh questions."""

    async def report() -> Report:
        engine = open_engine(model)
        try:
            return await evaluation.report(engine, manners)
        finally:
            await engine.close()

    return asyncio.run(report())
