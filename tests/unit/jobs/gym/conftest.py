"""A store with the vectors of words that the gym's worlds are made of, and a checkpoint without weights."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from personavlm.jobs.gym.pack import gym_pack
from personavlm.memory_store import MemoryStore
from personavlm.platform.encoders.cached import CachedEncoder
from personavlm.platform.encoders.image_descriptor import ImageDescriptor
from personavlm.platform.encoders.minilm import MiniLmEncoder
from personavlm.platform.engines.checkpoint import Checkpoint
from personavlm.platform.prompts.render import PromptPack
from tests.unit.jobs.gym.word_files import write_word_files


@pytest.fixture(scope="package")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MemoryStore]:
    encoder = CachedEncoder(MiniLmEncoder(), 20_000)
    path = tmp_path_factory.mktemp("gym")
    with MemoryStore.open(path, text_encoder=encoder, image_encoder=ImageDescriptor()) as opened:
        yield opened


@pytest.fixture(scope="package")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return Checkpoint.open(str(write_word_files(tmp_path_factory.mktemp("words"))))


@pytest.fixture(scope="package")
def prompts() -> PromptPack:
    return gym_pack()
