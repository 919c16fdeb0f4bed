from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import pytest

from personavlm.memory_store import MemoryStore, UserKey
from personavlm.memory_store.storage.settings import StorageSettings
from tests.unit.memory_store.encoders import ByteEncoder, WordEncoder, close_stores
from tests.unit.memory_store.places import place, stored


class Clock:
    """A clock that goes on by a second whenever it is read."""

    def __init__(self) -> None:
        self.now = datetime(2026, 6, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now


@pytest.fixture(autouse=True)
def closed_stores() -> Iterator[None]:
    """No store stays open after the test that opened it."""
    yield
    close_stores()


@pytest.fixture(scope="session")
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="session")
def store(folder: Path, clock: Clock) -> Iterator[MemoryStore]:
    """One store for all tests: tests tell their data apart by their users."""
    store = MemoryStore.open(
        place(folder),
        text_encoder=WordEncoder(),
        image_encoder=ByteEncoder(),
        storage=stored(StorageSettings()),
        clock=clock,
    )
    yield store
    store.close()


@pytest.fixture(scope="session")
def new_user() -> Callable[[], UserKey]:
    """Makes a user whom nobody has used."""
    numbers = count()
    return lambda: UserKey("tenant", f"user {next(numbers)}")
