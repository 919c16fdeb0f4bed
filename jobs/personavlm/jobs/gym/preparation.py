"""Everything that a run in the gym starts from, in one folder: checkpoint, users, questions, lessons."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from personavlm.jobs.gym.worlds import WorldConfig, write_questions, write_world
from personavlm.jobs.images import ImageFolder
from personavlm.memory_store import MemoryStore
from personavlm.platform.encoders.cached import CachedEncoder
from personavlm.platform.encoders.image_descriptor import ImageDescriptor
from personavlm.platform.encoders.minilm import MiniLmEncoder

ENCODED_TEXTS = 50_000  # more than the world has


@dataclass(frozen=True, slots=True)
class GymFolder:
    """Where things are."""

    path: Path

    @property
    def checkpoint(self) -> Path:
        """The policy from nothing."""
        return self.path / "checkpoint"

    @property
    def memory(self) -> Path:
        """The store with every user of the run."""
        return self.path / "memory"

    @property
    def lessons(self) -> Path:
        """Examples for SFT."""
        return self.path / "lessons"

    @property
    def images(self) -> ImageFolder:
        """What examples and trajectories name."""
        return ImageFolder(self.path / "images")

    def questions(self, name: str) -> Path:
        """The questions of one world."""
        return self.path / f"{name}.questions.json"


@contextmanager
def gym_store(path: Path) -> Iterator[MemoryStore]:
    """The store of a gym folder, with the encoders of serving."""
    encoder = CachedEncoder(MiniLmEncoder(), ENCODED_TEXTS)
    with MemoryStore.open(path, text_encoder=encoder, image_encoder=ImageDescriptor()) as store:
        yield store


def add_world(
    folder: GymFolder, store: MemoryStore, name: str, seed: int, questions: int, config: WorldConfig
) -> None:
    """Invent a world in the store and keep its questions."""
    write_questions(folder.questions(name), write_world(store, name, seed, questions, config))
