"""`python -m personavlm.jobs.gym`: prepare a folder from which SFT, GRPO and the evaluation begin."""

from __future__ import annotations

from personavlm.jobs.gym.checkpoint import write_checkpoint
from personavlm.jobs.gym.config import GymConfig, NoiseConfig
from personavlm.jobs.gym.demonstrations import demonstrations
from personavlm.jobs.gym.network import Network
from personavlm.jobs.gym.pack import gym_pack
from personavlm.jobs.gym.preparation import GymFolder, add_world, gym_store
from personavlm.jobs.gym.settings import MAX_TOKENS, write_settings
from personavlm.jobs.gym.teacher import Noise
from personavlm.jobs.gym.worlds import write_world
from personavlm.jobs.sft.example_files import write_examples
from personavlm.memory_store import MemoryStore
from personavlm.platform.agent.loop import AgentSettings
from personavlm.platform.engines.checkpoint import Checkpoint
from personavlm.platform.errors import CommandError


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
    write_settings(config, folder)
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


def shown(folder: GymFolder) -> str:
    """What to do next."""
    at = folder.path
    return (
        f"{at} is ready:\n"
        f"  python -m personavlm.jobs.sft {at / 'sft.yaml'}\n"
        f"  python -m personavlm.jobs.grpo {at / 'grpo.yaml'}\n"
        f"  python -m personavlm.jobs.evaluate {at / 'evaluate.yaml'} engine.model=CHECKPOINT"
    )
