"""Small steps that tests of the store share: days, turns, memories."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from personavlm.memory_store import Add, AnyMemory, Hit, MemoryKind, MemoryStore, Turn, TurnDraft, UserKey

START = datetime(2026, 3, 1, tzinfo=UTC)


def day(number: float) -> datetime:
    """So many days after the start."""
    return START + timedelta(days=number)


def say(store: MemoryStore, user: UserKey, number: float, text: str, reply: str = "") -> Turn:
    """A turn on that day."""
    return store.append_turn(user, TurnDraft(text, reply, event_time=day(number), allow_past=True))


def remember(store: MemoryStore, user: UserKey, kind: MemoryKind, add: Add) -> AnyMemory:
    """One memory more."""
    source = f"step {len(store.memories(user, include_ended=True))} {add.text}"
    return store.apply(user, kind, source, [add])[-1]


def ids(hits: Iterable[Hit]) -> list[str]:
    """What was found, by id."""
    return [hit.item.id for hit in hits]
