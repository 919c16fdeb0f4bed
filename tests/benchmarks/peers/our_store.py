"""The memory store behind the same calls as its peers."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from personavlm.memory_store import MemoryStore, TurnDraft, UserKey
from personavlm.memory_store.encoder import TextEncoder, Vectors
from tests.benchmarks.peers.items import Item
from tests.benchmarks.store_parts.data import NoImages, NumberEncoder, RandomVectors

START = datetime(2026, 1, 5, 8, tzinfo=UTC)
TURNS_A_SESSION = 10


def user_key(user: str) -> UserKey:
    """Everybody belongs to one tenant."""
    return UserKey("benchmark", user)


def draft_of(item: Item) -> TurnDraft:
    """A turn that happens now."""
    return TurnDraft(item.text, item.reply)


class OurStore:
    """A memory is a turn. Vectors of loaded turns are stored; those of single adds come with ``index``."""

    def __init__(self, folder: Path, dim: int, cache_mb: float, encoder: TextEncoder | None = None) -> None:
        encoder = encoder or NumberEncoder(RandomVectors(dim))
        self.store = MemoryStore.open(
            folder, text_encoder=encoder, image_encoder=NoImages(), cache_mb=cache_mb
        )

    def add(self, item: Item) -> None:
        self.store.append_turn(user_key(item.user), draft_of(item))

    def load(self, items: Sequence[Item]) -> None:
        drafts = [TurnDraft(item.text, item.reply, _time(place)) for place, item in enumerate(items)]
        user = user_key(items[0].user)
        self.store.append_turns(user, drafts)
        self.store.index(user)

    def settle(self) -> None:
        self.store.flush()
        self.store.maintain()

    def nearest(self, user: str, vector: Vectors, k: int) -> list[str]:
        return [near.id for near in self.store.nearest(user_key(user), vector, k)]

    def found(self, user: str, vector: Vectors, k: int) -> list[str]:
        """The texts of the nearest: the store's ids are its own."""
        return [self.store.turn(user_key(user), id).user_text for id in self.nearest(user, vector, k)]

    def close(self) -> None:
        self.store.close()


def _time(place: int) -> datetime:
    """Sessions of ten turns, one a day."""
    day, turn = divmod(place, TURNS_A_SESSION)
    return START + timedelta(days=day, minutes=4 * turn)
