"""`python -m personavlm.jobs.gym`: prepare a folder from which SFT, GRPO and the evaluation begin."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from personavlm.jobs.gym.checkpoint import write_checkpoint
from personavlm.jobs.gym.config import GymConfig, NoiseConfig
from personavlm.jobs.gym.demonstrations import demonstrations
from personavlm.jobs.gym.network import Network
from personavlm.jobs.gym.pack import FOLDER, gym_pack
from personavlm.jobs.gym.preparation import GymFolder, add_world, gym_store
from personavlm.jobs.gym.teacher import Noise
from personavlm.jobs.gym.worlds import write_world
from personavlm.jobs.sft.example_files import write_examples
from personavlm.memory_store import MemoryStore
from personavlm.platform.agent.loop import AgentSettings
from personavlm.platform.engines.checkpoint import Checkpoint
from personavlm.platform.errors import CommandError

MAX_TOKENS = 48  # of one step of a reply: the longest right one has 20
LONGEST = 1024  # tokens of a sequence; most have fewer than 150
CONTEXT = 2048


def prepare(config: GymConfig) -> GymFolder:
    """Make everything that a run begins with. Raises `CommandError` where the folder holds a run."""
    folder = GymFolder(config.output.absolute())
    if folder.path.exists() and any(folder.path.iterdir()):
        raise CommandError(f"output: {folder.path} is not empty; name another folder, or remove it")
    folder.path.mkdir(parents=True, exist_ok=True)
    network = Network(
        hidden=config.network.hidden,
        layers=config.network.layers,
        feed_forward=config.network.feed_forward,
    )
    write_checkpoint(folder.checkpoint, config.seed, network)
    with gym_store(folder.memory) as store:
        add_world(folder, store, "grpo", config.seed, config.rewarded, config.world)
        add_world(folder, store, "evaluation", config.seed, config.asked, config.world)
        _teach(config, folder, store)
    for name, settings in (("sft", _sft(config, folder)), ("evaluate", _evaluate(folder))):
        (folder.path / f"{name}.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))
    return folder


def _teach(config: GymConfig, folder: GymFolder, store: MemoryStore) -> None:
    taught = write_world(store, "sft", config.seed, config.demonstrations, config.taught or config.world)
    lessons = demonstrations(
        taught,
        store,
        Checkpoint.open(str(folder.checkpoint)),
        gym_pack(),
        folder.images,
        settings=AgentSettings(max_tokens=MAX_TOKENS),
        noise=_noise(config.noise),
        seed=config.seed,
    )
    write_examples(lessons, folder.images, folder.lessons)


def _noise(config: NoiseConfig) -> Noise:
    return Noise(config.share, {"skip": config.skip, "broken": config.broken, "period": config.period})


def _sft(config: GymConfig, folder: GymFolder) -> dict[str, Any]:
    """Settings of `python -m personavlm.jobs.sft`."""
    return {
        "policy": {
            "model": str(folder.checkpoint),
            "train_vision": True,  # it was made from nothing like the rest
            "max_tokens": LONGEST,
            "precision": "float32",
            "gradient_checkpointing": False,
        },
        "optimiser": {"learning_rate": 4e-3, "betas": [0.9, 0.98], "weight_decay": 0.05, "floor": 0.1},
        "strategy": {"kind": "ddp", "device": "cpu", "pack_tokens": 4 * LONGEST},
        "seed": config.seed,
        "data": str(folder.lessons),
        "output": str(folder.path / "sft"),
        "batch_size": 32,
        "steps": config.sft_steps,
    }


def _evaluate(folder: GymFolder) -> dict[str, Any]:
    """Settings of `python -m personavlm.jobs.evaluate`; ``engine.model`` names the checkpoint."""
    return {
        "questions": str(folder.questions("evaluation")),
        "memory": str(folder.memory),
        "prompts": str(FOLDER),
        "engine": {"kind": "transformers", "model": str(folder.checkpoint), "context_tokens": CONTEXT,
                   "max_batch": 128},
        "agent": {"max_tokens": MAX_TOKENS},
    }  # fmt: skip


def shown(folder: GymFolder) -> str:
    """What to do next."""
    at: Path = folder.path
    return (
        f"{at} is ready:\n"
        f"  python -m personavlm.jobs.sft {at / 'sft.yaml'}\n"
        f"  python -m personavlm.jobs.evaluate {at / 'evaluate.yaml'} engine.model=CHECKPOINT"
    )
