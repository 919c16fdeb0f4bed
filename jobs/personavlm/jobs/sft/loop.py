"""What every learner process of SFT runs inside of Ray Train."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from personavlm.jobs.learning.checkpointing import load, save
from personavlm.jobs.learning.learner import Learner
from personavlm.jobs.learning.saved import SavedCheckpoints
from personavlm.jobs.learning.supervised import supervised_step
from personavlm.jobs.learning.workers import join_world, report
from personavlm.jobs.metrics_log import MetricsLog
from personavlm.jobs.sft.config import SftConfig
from personavlm.jobs.sft.example_files import ExampleFiles
from personavlm.jobs.sft.order import Order
from personavlm.jobs.sft.preparation import Prepared


@dataclass(frozen=True, slots=True)
class SftRun:
    """Settings, the data as they were prepared, and the number of optimiser steps."""

    config: SftConfig
    prepared: Prepared
    steps: int


def train_loop(config: Mapping[str, SftRun]) -> None:
    """Learn to the last step, from the newest checkpoint where there is one."""
    run, settings = config["run"], config["run"].config
    files = ExampleFiles.open(Path(run.prepared.folder))
    learner = Learner(settings, files.images.path, run.steps, join_world(settings))
    kept = checkpoints_of(settings)
    if saved := kept.newest():
        load(learner, saved)
    order = Order(run.prepared.usable, settings.batch_size, settings.seed)
    log = MetricsLog(settings.output, learner.step) if learner.world.rank == 0 else None
    while learner.step < run.steps:
        started = time.perf_counter()
        figures = supervised_step(learner, [files[at] for at in order.batch(learner.step)])
        seconds = time.perf_counter() - started
        if log:
            speed = {"seconds": seconds, "tokens_per_second": figures["tokens"] / seconds}
            log.add(learner.step, figures | speed)
        if learner.step % settings.checkpoints.every == 0 or learner.step == run.steps:
            save(learner, kept, {"examples": learner.step * settings.batch_size})
        report(figures)
    if log:
        log.close()


def checkpoints_of(config: SftConfig) -> SavedCheckpoints:
    """The run's checkpoints."""
    return SavedCheckpoints(config.output / "checkpoints", config.checkpoints.keep)
