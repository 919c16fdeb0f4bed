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


def write_settings(config: GymConfig, folder: GymFolder) -> None:
    """One YAML file for each job."""
    for name, settings in (("sft", _sft(config, folder)), ("evaluate", _evaluate(folder))):
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
