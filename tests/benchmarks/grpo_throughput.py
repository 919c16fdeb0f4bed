"""A GRPO step of ours, sampling and learning, beside one of TRL 1.16's trainer: same model, prompts, sizes.

``python -m tests.benchmarks.grpo_throughput [--repeats 5]``. Needs the extra `train` and TRL. Both run in
this process, in turn, without Ray, on one thread. Rewards cost nothing; both sample to the length limit.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

PROMPTS, GROUP, TOKENS = 24, 8, 48
PROMPT = "Which drink does Ana like most since March? Think about what you know of Ana, then answer."


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.grpo_throughput", description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    import torch

    from tests.tiny_checkpoint import write_checkpoint

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        model = write_checkpoint(Path(folder) / "model")
        ours, theirs = _ours(model, Path(folder)), _trl(model, Path(folder), repeats + 1)
        ours()
        theirs()
        pairs = [(_spent(ours), _spent(theirs)) for _ in range(repeats)]
    print(f"{PROMPTS} prompts x {GROUP} rollouts of at most {TOKENS} tokens; median (least to most)")
    for at, name in ((0, "CPU seconds"), (1, "wall seconds")):
        mine, other = ([pair[who][at] for pair in pairs] for who in (0, 1))
        ratios = [b / a for a, b in zip(mine, other, strict=True)]
        print(
            f"{name}: ours {_spread(mine)}, TRL {_spread(other)}; TRL takes {_spread(ratios)} times as long"
        )


def _ours(model: Path, folder: Path) -> Callable[[], None]:
    """One step: sample all rollouts as one batch, learn from them."""
    import torch

    from personavlm.jobs.learning.config import GrpoLearnerConfig
    from personavlm.jobs.learning.grpo_step import GrpoStep
    from personavlm.jobs.learning.learner import Learner
    from personavlm.jobs.learning.strategies import World
    from personavlm.jobs.trajectories import Trajectory, Weighted
    from personavlm.platform.engine_config import TransformersEngineConfig
    from personavlm.platform.engines.base import Conversation, Sampling, Segment, complete
    from personavlm.platform.engines.transformers import TransformersEngine

    config = GrpoLearnerConfig.model_validate(
        {
            "policy": {"model": str(model), "precision": "float32", "gradient_checkpointing": False},
            "strategy": {"kind": "ddp", "device": "cpu"},
            "loss": {"beta": 0.0},
        }
    )
    learner = Learner(config, folder / "images", 1000, World(0, 1, torch.device("cpu")))
    step = GrpoStep(learner, config)
    engine = TransformersEngine(
        TransformersEngineConfig(
            kind="transformers",
            model=str(model),
            dtype="float32",
            context_tokens=2048,
            max_batch=PROMPTS * GROUP,
        )
    )

    async def rollout() -> Trajectory:
        conversation = Conversation([Segment("user", PROMPT)])
        await complete(engine, conversation, Sampling(TOKENS, 1.0, logprobs=True))
        return Trajectory.of(conversation)

    async def rollouts() -> list[Trajectory]:
        found = await asyncio.gather(*(rollout() for _ in range(PROMPTS * GROUP)))
        await engine.close()
        return list(found)

    def work() -> None:
        step([Weighted(one, (-1.0) ** at) for at, one in enumerate(asyncio.run(rollouts()))])

    return work


def _trl(model: Path, folder: Path, steps: int) -> Callable[[], None]:
    """The same by TRL's trainer, one optimiser step for each call."""
    import datasets
    from transformers import AutoTokenizer, Qwen2_5_VLForConditionalGeneration
    from trl import GRPOConfig, GRPOTrainer

    def reward(completions: list[Any], **_: object) -> list[float]:
        return [(-1.0) ** at for at in range(len(completions))]

    arguments = GRPOConfig(
        output_dir=str(folder / "trl"), per_device_train_batch_size=PROMPTS * GROUP, num_generations=GROUP,
        max_completion_length=TOKENS, max_steps=steps, beta=0.0, learning_rate=2e-6, use_cpu=True, bf16=False,
        gradient_checkpointing=False, report_to=[], save_strategy="no", disable_tqdm=True,
    )  # fmt: skip
    trainer = GRPOTrainer(
        model=Qwen2_5_VLForConditionalGeneration.from_pretrained(model),
        processing_class=AutoTokenizer.from_pretrained(model),
        reward_funcs=reward,
        args=arguments,
        train_dataset=datasets.Dataset.from_dict(
            {"prompt": [[{"role": "user", "content": PROMPT}]] * PROMPTS}
        ),
    )
    trainer.create_optimizer()
    trainer.current_gradient_accumulation_steps = 1  # what `train` sets, which would not stop after a step
    batch = [{"prompt": [{"role": "user", "content": PROMPT}]} for _ in range(PROMPTS) for _ in range(GROUP)]

    def work() -> None:
        trainer.model.train()
        inputs = trainer._generate_and_score_completions(batch)
        trainer.compute_loss(trainer.model, inputs).backward()
        trainer.optimizer.step()
        trainer.optimizer.zero_grad()

    return work


def _spent(work: Callable[[], None]) -> tuple[float, float]:
    """CPU seconds and wall seconds."""
    before, started = _cpu(), time.perf_counter()
    work()
    return _cpu() - before, time.perf_counter() - started


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _spread(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


if __name__ == "__main__":
    main()
