"""The wording that a configuration chooses: read once, where the service starts; it travels as text."""

from __future__ import annotations

from pathlib import Path

from personavlm.platform.config import Config
from personavlm.platform.prompts.checking import read_pack
from personavlm.platform.prompts.render import PromptPack, default_pack


def with_pack(config: Config) -> Config:
    """The configuration with its folder of prompts replaced by what is in it.

    Replicas and actors may run where there is no such folder. Raises `PackError`.
    """
    if not isinstance(config.prompts, Path):
        return config
    return config.model_copy(update={"prompts": read_pack(config.prompts, config.engine.kind)})


def chosen_pack(config: Config) -> PromptPack:
    """The wording of a configuration that went through `with_pack`."""
    if isinstance(config.prompts, Path):
        raise ValueError(f"the prompts in {config.prompts} were not read where the service started")
    return config.prompts or default_pack()
