"""Learner processes: started by Ray Train, joined into one world."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from personavlm.jobs.learning.config import LearnerConfig
from personavlm.jobs.learning.strategies import World
from personavlm.platform.errors import CommandError


def join_world(config: LearnerConfig) -> World:
    """This process's place, inside of a Ray Train worker."""
    from ray import train
    from ray.train.torch import get_device

    context = train.get_context()
    device = get_device() if config.strategy.device == "cuda" else torch.device("cpu")
    if device.type == "cuda":
        torch.cuda.set_device(device)
    else:
        torch.set_num_threads(config.strategy.cpus_per_worker)
    return World(context.get_world_rank(), context.get_world_size(), device)


def report(figures: Mapping[str, float]) -> None:
    """Tell Ray Train, whose dashboard shows it; checkpoints are our own, in the run's folder."""
    from ray import train

    train.report(dict(figures))


def fit(
    loop: Callable[[Mapping[str, Any]], None], run: object, config: LearnerConfig, output: Path, name: str
) -> None:
    """Run ``loop({"run": run})`` in Ray Train's workers until it ends.

    Lost workers are started again; the loop then continues from its newest checkpoint. Raises `CommandError`
    with the reason where it fails for good, or where the cluster cannot hold the workers.
    """
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    require_room(config)
    strategy = config.strategy
    os.environ["RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S"] = str(strategy.start_timeout_s)
    gpu = strategy.device == "cuda"
    trainer = TorchTrainer(
        loop,
        train_loop_config={"run": run},
        torch_config=TorchConfig(backend="nccl" if gpu else "gloo"),
        scaling_config=ScalingConfig(
            num_workers=strategy.workers,
            use_gpu=gpu,
            resources_per_worker={"CPU": strategy.cpus_per_worker} | ({"GPU": 1} if gpu else {}),
        ),
        run_config=RunConfig(
            name=name,
            storage_path=str(output / "ray"),
            failure_config=FailureConfig(
                max_failures=strategy.max_restarts, controller_failure_limit=strategy.max_restarts
            ),
        ),
    )
    try:
        trainer.fit()
    except Exception as error:  # whatever the workers raised, wrapped in Ray Train's own classes
        raise CommandError(f"training stopped: {_innermost(error)}") from error


def require_room(config: LearnerConfig) -> None:
    """Raises `CommandError`, with what is there, where the cluster cannot hold all workers."""
    import ray

    strategy = config.strategy
    asked = {"CPU": float(strategy.workers * strategy.cpus_per_worker)}
    if strategy.device == "cuda":
        asked["GPU"] = float(strategy.workers)
    there = ray.cluster_resources()
    short = [f"{name}: {amount:g} asked, {there.get(name, 0):g} there" for name, amount in asked.items()
             if there.get(name, 0) < amount]  # fmt: skip
    if short:
        raise CommandError(
            f"{strategy.workers} learners do not fit on this cluster ({'; '.join(short)}); "
            "lower strategy.workers or strategy.cpus_per_worker, or add nodes"
        )


def _innermost(error: BaseException) -> str:
    """What the worker said, not what was wrapped around it."""
    failures = getattr(error, "worker_failures", None)
    if failures:
        error = next(iter(failures.values()))
    while (cause := getattr(error, "cause", None) or error.__cause__) is not None:
        error = cause
    return str(error) or type(error).__name__
