"""A process that rolls out: a Ray actor with an engine, a snapshot of memory and a judge."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from personavlm.jobs.images import ImageFolder
from personavlm.jobs.rewards.config import JudgeConfig, JudgingConfig, RewardConfig
from personavlm.jobs.rewards.pool import JudgePool
from personavlm.jobs.rollouts.build import build_judge, build_prompts, build_task
from personavlm.jobs.rollouts.config import RolloutConfig, TaskConfig
from personavlm.jobs.rollouts.groups import Group, GroupRunner, Order
from personavlm.jobs.rollouts.memory import Snapshot
from personavlm.platform.engines.build import build_engine
from personavlm.platform.engines.checkpoint import Checkpoint
from personavlm.platform.errors import EngineError


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """Everything that a worker is built from."""

    rollouts: RolloutConfig
    task: TaskConfig
    rewards: RewardConfig
    judging: JudgingConfig
    judge: JudgeConfig | None
    images: Path
    seed: int


class RolloutWorker:
    """The actor. Starting it loads the engine and opens the snapshot."""

    def __init__(self, settings: WorkerSettings) -> None:
        rollouts = settings.rollouts
        self._engine: Any = build_engine(rollouts.engine)
        self._checkpoint = Checkpoint.open(rollouts.engine.model)  # type: ignore[union-attr]  # a token engine: `RolloutConfig`
        self._snapshot = Snapshot(rollouts.memory)
        judge = build_judge(build_task(settings.task, settings.seed), settings.judge)
        self._groups = GroupRunner(
            self._engine,
            self._checkpoint.end,
            self._snapshot,
            build_prompts(rollouts, settings.task),
            JudgePool(judge, settings.judging, settings.seed),
            rollouts,
            settings.rewards,
            ImageFolder(settings.images),
        )
        self._ready = False

    async def pid(self) -> int:
        """Of this process; answers once it has started."""
        return os.getpid()

    async def take_weights(self, version: str, weights: Sequence[Any]) -> None:
        """Sample with these weights from now on. ``weights`` holds one ``ObjectRef`` of tensors by name."""
        await self._engine.load_weights(await weights[0], version)
        self._groups.synced(version)
        self._ready = True

    async def take_folder(self, version: str, weights: Sequence[Any]) -> None:
        """The same for an engine that reads checkpoints: by way of a folder on this machine."""
        tensors = await weights[0]
        with tempfile.TemporaryDirectory() as name:
            await asyncio.to_thread(_write, self._checkpoint, tensors, Path(name))
            await self._engine.update_weights(name, version)
        self._groups.synced(version)
        self._ready = True

    async def group(self, order: Order) -> Group:
        """Roll out a group. Raises `EngineError` before the first weights were handed out."""
        if not self._ready:
            raise EngineError("rollouts were asked for before any weights were handed out")
        await self._engine.check_health()
        return await self._groups.group(order)


def _write(checkpoint: Checkpoint, tensors: Mapping[str, Any], folder: Path) -> None:
    from safetensors.torch import save_file

    from personavlm.jobs.learning.saved import copy_around_weights

    copy_around_weights(checkpoint, folder)
    whole = {name: tensor.contiguous() for name, tensor in tensors.items()}
    save_file(whole, folder / "model.safetensors", metadata={"format": "pt"})
