"""A search follows one link, to nothing that it may not bring; erasure takes links along."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from personavlm.memory_store import (
    Add,
    AsOf,
    Delete,
    Hit,
    MemoryStore,
    NotFoundError,
    SearchRequest,
    UserKey,
    Vectors,
    Window,
)
from tests.unit.memory_store.encoders import WordEncoder, open_store
from tests.unit.memory_store.episodes import EPISODIC, episode, flat, links
from tests.unit.memory_store.steps import day, ids

NewUser = Callable[[], UserKey]


@pytest.fixture
def user(new_user: NewUser) -> UserKey:
    return new_user()


def linked(hits: tuple[Hit, ...]) -> list[str]:
    return [hit.item.id for hit in hits if hit.link]


def test_a_search_follows_one_link(store: MemoryStore, user: UserKey) -> None:
    first, _, second, _, third = flat(store, user)
    found = store.search(user, SearchRequest("piano", k_episodic=1)).episodic
    assert ids(found)[-1] == third.id and len(found) == 2
    (hit,) = (hit for hit in found if hit.link)
    assert hit.link is not None and hit.item.id in (first.id, second.id)
    assert (hit.link.episode, hit.link.related) == (third.id, hit.item.id)
    assert linked(store.search(user, SearchRequest("piano", k_episodic=1, k_linked=0)).episodic) == []
    assert linked(store.search(user, SearchRequest("piano", k_episodic=5, k_linked=5)).episodic) == []
    assert ids(store.search(user, SearchRequest("piano", k_episodic=0)).episodic) == []


def test_what_a_link_brings_obeys_window_exclusion_and_time(store: MemoryStore, user: UserKey) -> None:
    first, _, second, _, third = flat(store, user)
    late = Window(day(50), day(70))
    assert linked(store.search(user, SearchRequest("piano", window=late, k_episodic=1)).episodic) == []
    seen = frozenset({first.id, second.id})
    assert linked(store.search(user, SearchRequest("piano", exclude=seen, k_episodic=1)).episodic) == []
    then = SearchRequest("balcony", as_of=AsOf(day(30)), k_episodic=1, k_linked=9)
    assert third.id not in ids(store.search(user, then).episodic)
    # Two days hold one episode where two were asked for: the other comes from the days around.
    short = SearchRequest("Linden", window=Window(day(59), day(61)), k_episodic=2)
    assert [hit.outside_window for hit in store.search(user, short).episodic] == [False]
    wide = SearchRequest("Linden", window=Window(day(19), day(61)), k_episodic=1)
    found = store.search(user, wide).episodic
    assert set(ids(found)) == {second.id, third.id} and not any(hit.outside_window for hit in found)


def test_an_episode_that_was_deleted_is_not_followed(store: MemoryStore, user: UserKey) -> None:
    first, _, second, _, third = flat(store, user)
    store.apply(user, EPISODIC, "user:1", [Delete(first.id, day(400), "wrong")])
    successor = Add("Superseded.", day(91), first.evidence, supersedes=second.id)
    store.apply(user, EPISODIC, "user:2", [successor])
    assert [entry.episode for entry in store.linker.thread(user, third.id)] == [third]
    assert linked(store.search(user, SearchRequest("piano", k_episodic=1)).episodic) == []
    with pytest.raises(NotFoundError):
        store.linker.thread(user, first.id)
    later = episode(
        store, user, 95, "Linden Street: the flat and the balcony.", "flat, balcony, Linden Street"
    )
    assert {link.related for link in links(store, user, later)} == {third.id}


def test_erasing_an_episode_erases_its_links(tmp_path: Path, user: UserKey) -> None:
    store = open_store(tmp_path)
    first, _, second, _, third = flat(store, user)
    receipt = store.eraser.erase_memory(user, second.id)
    assert receipt.rows["links"] == 2
    assert [entry.episode for entry in store.linker.thread(user, third.id)] == [first, third]
    assert {link.related for link in links(store, user, third)} == {first.id}


class ErasingEncoder(WordEncoder):
    """Runs something once, when next asked to encode."""

    def __init__(self) -> None:
        super().__init__()
        self.meanwhile: Callable[[], object] = lambda: None

    def encode(self, texts: Sequence[str]) -> Vectors:
        meanwhile, self.meanwhile = self.meanwhile, lambda: None
        meanwhile()
        return super().encode(texts)


def test_what_is_erased_while_links_are_made_is_in_none(tmp_path: Path, user: UserKey) -> None:
    encoder = ErasingEncoder()
    store = open_store(tmp_path, encoder)
    first, _, second, _, _ = flat(store, user)
    fourth = episode(store, user, 80, "The flat has no balcony.", "flat, balcony, Linden Street", link=False)
    encoder.meanwhile = lambda: store.eraser.erase_memory(user, second.id)
    assert {link.related for link in links(store, user, fourth)} >= {first.id}
    assert second.id not in {link.related for link in links(store, user, fourth)}
