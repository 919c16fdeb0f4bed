"""Learners of one process, and of several that join through gloo."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import distributed, multiprocessing

from personavlm.jobs.learning.config import GrpoLearnerConfig
from personavlm.jobs.learning.learner import Learner
from personavlm.jobs.learning.strategies import World

CPU = torch.device("cpu")
ALONE = World(0, 1, CPU)


def settings(model: Path, **changes: Any) -> GrpoLearnerConfig:  # noqa: ANN401
    """For tiny models on a CPU. ``changes`` are sections, each a dict of what differs."""
    sections: dict[str, Any] = {
        "policy": {"model": str(model), "precision": "float32", "max_tokens": 256},
        "strategy": {"kind": "ddp", "device": "cpu", "pack_tokens": 256},
        # With so large an epsilon AdamW's update is nearly the gradient, not its sign, so that rounding of
        # gradients near 0 is not magnified.
        "optimiser": {"learning_rate": 0.1, "epsilon": 1.0},
    }
    for name, change in changes.items():
        sections[name] = {**sections.get(name, {}), **change} if isinstance(change, dict) else change
    return GrpoLearnerConfig.model_validate(sections)


def learner(config: GrpoLearnerConfig, images: Path, world: World = ALONE, steps: int = 20) -> Learner:
    return Learner(config, images, steps, world)


def weights(one: Learner) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in one.weights().items()}


def apart(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    """The greatest difference of two sets of weights of the same names."""
    assert one.keys() == other.keys()
    return max(float((one[name] - other[name]).abs().max()) for name in one)


def together(size: int, folder: Path, work: Callable[..., None], *arguments: object) -> None:
    """Run ``work(world, *arguments)`` in processes that are one world."""
    context = multiprocessing.get_context("spawn")
    rendezvous = folder / f"rendezvous-{work.__name__}"
    processes = [
        context.Process(target=_join, args=(rank, size, rendezvous, work, arguments)) for rank in range(size)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * size


def _join(
    rank: int, size: int, rendezvous: Path, work: Callable[..., None], arguments: tuple[object, ...]
) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=size)
    work(World(rank, size, CPU), *arguments)
    distributed.destroy_process_group()
