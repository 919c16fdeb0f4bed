"""Episodes of sessions of their own, for tests of what links them."""

from datetime import timedelta

from personavlm.memory_store import Add, EpisodeLink, EpisodicMemory, MemoryKind, MemoryStore, UserKey
from tests.unit.memory_store.steps import say

EPISODIC = MemoryKind.EPISODIC


def episode(
    store: MemoryStore, user: UserKey, number: float, text: str, keywords: str = "", *, link: bool = True
) -> EpisodicMemory:
    """One episode in a session of its own on that day; linked to older ones as a closed session is."""
    turn = say(store, user, number, text)
    end = turn.event_time + timedelta(minutes=10)
    words = tuple(keywords.split(", ")) if keywords else ()
    add = Add(text, turn.event_time, (turn.id,), session=turn.session, end_time=end, keywords=words)
    (written,) = store.apply(user, EPISODIC, f"session:{turn.id}", [add])
    assert isinstance(written, EpisodicMemory)
    if link:
        store.linker.link(user, written.source)
    return written


def links(store: MemoryStore, user: UserKey, written: EpisodicMemory) -> tuple[EpisodeLink, ...]:
    return store.linker.link(user, written.source)


def flat(store: MemoryStore, user: UserKey) -> list[EpisodicMemory]:
    """Three episodes of one matter, two of others between them."""
    return [
        episode(store, user, 1, "They looked at a flat in Linden Street.", "flat, balcony, Linden Street"),
        episode(store, user, 5, "They cooked lentils with lemon.", "lentils, recipe"),
        episode(store, user, 20, "The flat in Linden Street has a balcony.", "flat, balcony, Linden Street"),
        episode(store, user, 30, "A blue scarf lay on the train.", "scarf, train"),
        episode(store, user, 60, "The piano is up in Linden Street at last.", "piano, flat, Linden Street"),
    ]
