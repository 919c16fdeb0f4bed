"""Settings of the jobs that follow a preparation, as the files that they are given."""

from __future__ import annotations

from typing import Any

import yaml

from personavlm.jobs.gym.config import GymConfig
from personavlm.jobs.gym.pack import FOLDER
from personavlm.jobs.gym.preparation import GymFolder

MAX_TOKENS = 48  # of one step of a reply: the longest right one has 20
LONGEST = 1024  # tokens of a sequence; most have fewer than 150
CONTEXT = 2048
PROMPTS = 16  # of a step of GRPO


def write_settings(config: GymConfig, folder: GymFolder) -> None:
    """One YAML file for each job."""
    jobs = {
        "sft": _sft(config, folder),
        "grpo": _grpo(config, folder),
        "evaluate": _evaluate(folder),
    }
    for name, settings in jobs.items():
        text = yaml.safe_dump(settings, sort_keys=False)
        (folder.path / f"{name}.yaml").write_text(text, encoding="utf-8")


def _sft(config: GymConfig, folder: GymFolder) -> dict[str, Any]:
    """Of `python -m personavlm.jobs.sft`."""
    optimiser = {"learning_rate": 4e-3, "betas": [0.9, 0.98], "weight_decay": 0.05, "floor": 0.1}
    return _learner(config, str(folder.checkpoint), optimiser) | {
        "data": str(folder.lessons),
        "output": str(folder.path / "sft"),
        "batch_size": 32,
        "steps": config.sft_steps,
    }


def _grpo(config: GymConfig, folder: GymFolder) -> dict[str, Any]:
    """Of `python -m personavlm.jobs.grpo`, which begins where SFT ends."""
    model = str(folder.path / "sft" / "checkpoints" / f"step-{config.sft_steps:08}")
    optimiser = {"learning_rate": config.grpo_rate, "betas": [0.9, 0.99], "floor": 1.0}
    loss = {"aggregation": "seq", "clip_high": 0.2, "updates": 2}
    return {
        "output": str(folder.path / "grpo"),
        "task": {"kind": "gym", "questions": str(folder.questions("grpo"))},
        "rollouts": {
            "engine": _engine(model),
            "memory": str(folder.memory),
            "sampling": {"max_tokens": MAX_TOKENS, "k_episodic": [2, 3], "k_semantic": [3, 5]},
        },
        "learner": _learner(config, model, optimiser) | {"loss": loss},
        "steps": config.rewarded // PROMPTS,
        "prompts": PROMPTS,
        "group_size": 8,
        "seed": config.seed,
    }


def _learner(config: GymConfig, model: str, optimiser: dict[str, Any]) -> dict[str, Any]:
    """One process on a CPU. The vision tower learns as well: it was made from nothing like the rest."""
    return {
        "policy": {
            "model": model,
            "train_vision": True,
            "max_tokens": LONGEST,
            "precision": "float32",
            "gradient_checkpointing": False,
        },
        "optimiser": optimiser,
        "strategy": {"kind": "ddp", "device": "cpu", "pack_tokens": 4 * LONGEST},
        "seed": config.seed,
    }


def _evaluate(folder: GymFolder) -> dict[str, Any]:
    """Of `python -m personavlm.jobs.evaluate`; ``engine.model`` is to name the checkpoint."""
    return {
        "questions": str(folder.questions("evaluation")),
        "memory": str(folder.memory),
        "prompts": str(FOLDER),
        "engine": _engine(str(folder.checkpoint)),
        "agent": {"max_tokens": MAX_TOKENS},
    }


def _engine(model: str) -> dict[str, Any]:
    return {"kind": "transformers", "model": model, "context_tokens": CONTEXT, "max_batch": 128}
