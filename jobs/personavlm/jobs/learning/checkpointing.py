"""Writing a learner to a checkpoint, and continuing from one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor
from torch.distributed.checkpoint import CheckpointException

from personavlm.jobs.learning.learner import Learner
from personavlm.jobs.learning.saved import Saved, SavedCheckpoints, copy_around_weights
from personavlm.platform.errors import CommandError

SHARD_BYTES = 4 * 2**30


def save(learner: Learner, kept: SavedCheckpoints, state: Mapping[str, Any]) -> None:
    """Write a checkpoint of the learner's step. All processes call it; ``state`` is the first one's.

    Raises `CommandError` where it cannot be written, a full disk among the reasons; nothing of it stays.
    """
    world, step = learner.world, learner.step
    try:
        if world.rank == 0:
            kept.begin(step)
        world.barrier()
        learner.strategy.save(kept.partial(step) / "training" / "state")
        torch.save(_random_state(learner), kept.partial(step) / "training" / f"random-{world.rank}.pt")
        weights = learner.weights()
        if world.rank == 0:
            copy_around_weights(learner.checkpoint, kept.partial(step))
            _write_weights(weights, kept.partial(step))
        world.barrier()
        if world.rank == 0:
            kept.complete(step, state)
    except (OSError, RuntimeError, SafetensorError, CheckpointException) as error:
        kept.abandon(step)
        raise CommandError(_reason(kept, step, error)) from error
    world.barrier()


def load(learner: Learner, saved: Saved) -> None:
    """Continue where the checkpoint was written. All processes call it."""
    learner.strategy.load(saved.training / "state")
    random = saved.training / f"random-{learner.world.rank}.pt"
    if random.exists():  # there are more processes than when it was written
        state = torch.load(random, weights_only=True)
        torch.set_rng_state(state["cpu"])
        if "cuda" in state and learner.world.device.type == "cuda":
            torch.cuda.set_rng_state(state["cuda"], learner.world.device)
    learner.step = saved.step


def _random_state(learner: Learner) -> dict[str, Tensor]:
    state = {"cpu": torch.get_rng_state()}
    if learner.world.device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(learner.world.device)
    return state


def _write_weights(weights: dict[str, Tensor], folder: Path) -> None:
    """``model.safetensors``, or several files and an index, as Hugging Face's libraries read them."""
    shards = _shards(weights)
    if len(shards) == 1:
        save_file(shards[0], folder / "model.safetensors", metadata={"format": "pt"})
        return
    names = [f"model-{at:05}-of-{len(shards):05}.safetensors" for at in range(1, len(shards) + 1)]
    index: dict[str, str] = {}
    for name, shard in zip(names, shards, strict=True):
        save_file(shard, folder / name, metadata={"format": "pt"})
        index |= dict.fromkeys(shard, name)
    total = sum(one.nbytes for one in weights.values())
    text = json.dumps({"metadata": {"total_size": total}, "weight_map": index}, indent=1)
    (folder / "model.safetensors.index.json").write_text(text, encoding="utf-8")


def _shards(weights: dict[str, Tensor]) -> list[dict[str, Tensor]]:
    shards: list[dict[str, Tensor]] = [{}]
    used = 0
    for name, value in weights.items():
        if used and used + value.nbytes > SHARD_BYTES:
            shards.append({})
            used = 0
        shards[-1][name] = value.contiguous()
        used += value.nbytes
    return shards


def _reason(kept: SavedCheckpoints, step: int, error: BaseException) -> str:
    if isinstance(error, CheckpointException):  # one failure for each process that had any
        error = next(iter(error.failures.values()))[0]
    said = str(error).splitlines()[0]
    free = shutil.disk_usage(kept.folder).free / 2**30
    newest = kept.newest()
    back = f"the run continues from step {newest.step}" if newest else "the run begins anew"
    return (
        f"the checkpoint of step {step} cannot be written to {kept.folder} ({free:.1f} GB free): {said}; "
        f"make room and start again with the same settings: {back}"
    )
