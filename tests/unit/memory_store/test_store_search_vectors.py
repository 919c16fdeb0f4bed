"""What a search brings: images that show the same, and vectors that are made once."""

from collections.abc import Callable
from pathlib import Path

import pytest

from personavlm.memory_store import (
    Add,
    AnyMemory,
    MemoryKind,
    MemoryStore,
    NotFoundError,
    SearchRequest,
    UserKey,
)
from tests.unit.memory_store.encoders import WordEncoder, open_store
from tests.unit.memory_store.steps import day, ids, remember, say

NewUser = Callable[[], UserKey]
SEMANTIC = MemoryKind.SEMANTIC


@pytest.fixture
def user(new_user: NewUser) -> UserKey:
    return new_user()


# images


def concept(store: MemoryStore, user: UserKey, number: int, text: str, pixels: bytes) -> AnyMemory:
    image = store.put_image(user, pixels, "image/png", 1, 1)
    return remember(store, user, SEMANTIC, Add(text, day(number), (), category="concept", images=(image,)))


def test_an_image_finds_the_memory_that_shows_the_same(store: MemoryStore, user: UserKey) -> None:
    cup = concept(store, user, 0, "her blue cup", b"aaaa")
    soup = concept(store, user, 1, "a bowl of soup", b"bbbb")
    query = store.put_image(user, b"aaaac", "image/png", 1, 1)
    found = store.search(
        user, SearchRequest("this", "what is this?", image_sha256=(query.sha256,), k_visual=1)
    )
    assert ids(found.visual) == [cup.id] and cup.id not in ids(found.semantic)
    unlike = store.put_image(user, b"zzzz", "image/png", 1, 1)
    found = store.search(user, SearchRequest("soup", image_sha256=(unlike.sha256,), k_visual=1))
    assert found.visual == () and soup.id in ids(found.semantic)


def test_words_find_a_memory_with_an_image_unless_they_have_nothing_to_do_with_it(
    store: MemoryStore, user: UserKey
) -> None:
    cup = concept(store, user, 0, "her blue cup", b"aaaa")
    for number in range(9):
        remember(store, user, SEMANTIC, Add(f"likes thing {number}", day(number), ()))
    assert ids(store.search(user, SearchRequest("cup")).visual) == [cup.id]
    assert store.search(user, SearchRequest("thing")).visual == ()


def test_an_unknown_image_is_an_error(store: MemoryStore, user: UserKey) -> None:
    with pytest.raises(NotFoundError):
        store.search(user, SearchRequest("tea", image_sha256=("0" * 64,)))


# vectors


def test_texts_are_encoded_once_and_their_vectors_stored(tmp_path: Path) -> None:
    user, encoder = UserKey("t", "u"), WordEncoder()
    store = open_store(tmp_path, encoder)
    say(store, user, 0, "green tea", "noted")
    remember(store, user, SEMANTIC, Add("likes tea", day(0), ()))
    assert encoder.encoded == []
    store.index(user)
    assert sorted(encoder.encoded) == ["green tea", "likes tea", "noted"]
    store.close()
    encoder = WordEncoder()
    store = open_store(tmp_path, encoder)
    store.index(user)
    assert encoder.encoded == []
    say(store, user, 1, "black tea")
    store.search(user, SearchRequest("coffee"))
    assert sorted(encoder.encoded) == ["black tea", "coffee"]


def test_another_encoder_makes_vectors_of_its_own(tmp_path: Path) -> None:
    user = UserKey("t", "u")
    store = open_store(tmp_path)
    turn = say(store, user, 0, "green tea")
    store.index(user)
    other = WordEncoder(dim=32)
    reopened = open_store(tmp_path, other)
    assert ids(reopened.search(user, SearchRequest("tea")).turns) == [turn.id]
    assert "green tea" in other.encoded
