"""A small gym for runs of GRPO: a checkpoint from nothing, a closed store, questions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from personavlm.jobs.grpo.config import GrpoConfig
from personavlm.jobs.gym.checkpoint import write_checkpoint
from personavlm.jobs.gym.preparation import GymFolder, add_world, gym_store
from personavlm.jobs.gym.worlds import WorldConfig


def gym_folder(path: Path, questions: int = 16) -> GymFolder:
    """Everything that a run starts from."""
    folder = GymFolder(path)
    write_checkpoint(folder.checkpoint)
    with gym_store(folder.memory) as store:
        add_world(folder, store, "practice", 0, questions, WorldConfig(questions_each=8))
    return folder


def gym_run(folder: GymFolder, output: Path, **settings: Any) -> GrpoConfig:  # noqa: ANN401
    """A run of two small steps; ``settings`` are sections of the configuration."""
    engine = {
        "kind": "transformers", "model": str(folder.checkpoint), "context_tokens": 2048, "max_batch": 64,
    }  # fmt: skip
    values: dict[str, Any] = {
        "output": output,
        "task": {"kind": "gym", "questions": folder.questions("practice")},
        "rollouts": {
            "engine": engine, "memory": folder.memory, "cpus_per_worker": 0.5,
            "sampling": {"max_tokens": 16, "max_retrievals": 1},
        },
        "learner": {
            "policy": {
                "model": str(folder.checkpoint), "max_tokens": 1024, "precision": "float32",
                "gradient_checkpointing": False,
            },
            "strategy": {"kind": "ddp", "device": "cpu", "pack_tokens": 4096},
            "checkpoints": {"every": 1, "keep": 3},
            "loss": {"overlong_filter": False},
        },
        "steps": 2,
        "prompts": 3,
        "group_size": 2,
    }  # fmt: skip
    return GrpoConfig.model_validate(_merged(values, settings))


def _merged(values: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    merged = dict(values)
    for key, value in over.items():
        nested = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merged(merged[key], value) if nested else value
    return merged
