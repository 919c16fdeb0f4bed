"""Turns that are not in memory are found by their words, even where nothing is found by vector."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from personavlm.memory_store import (
    AsOf,
    MemoryStore,
    SearchRequest,
    Turn,
    TurnDraft,
    UserKey,
    Vectors,
    Window,
)
from personavlm.memory_store.retrieval.cold_search import COLD_CANDIDATES, word_scores
from personavlm.memory_store.retrieval.lexical import TermTable, term_keys, terms
from personavlm.memory_store.storage.settings import StorageSettings
from tests.unit.memory_store.encoders import WordEncoder, close_stores, open_store
from tests.unit.memory_store.steps import START, day, ids

USER = UserKey("acme", "anna")
WORDS = ["tea", "coffee", "run", "swim", "Berlin", "Oslo"]
MANY = COLD_CANDIDATES + 20


class BlindEncoder(WordEncoder):
    """To it all texts are alike, so nothing is found by vector."""

    token_dim = 0

    def encode(self, texts: Sequence[str]) -> Vectors:
        return np.tile(np.eye(1, self.dim, dtype=np.float32), (len(texts), 1))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[MemoryStore]:
    yield open_store(tmp_path, BlindEncoder(), storage=StorageSettings(hot_turns=5))
    close_stores(tmp_path)


def told(store: MemoryStore, texts: Sequence[str]) -> tuple[Turn, ...]:
    """One turn a day."""
    drafts = [TurnDraft(text, "noted", event_time=day(number)) for number, text in enumerate(texts)]
    turns, _ = store.append_turns(USER, drafts)
    store.index(USER)
    return turns


def found(store: MemoryStore, request: SearchRequest) -> list[str]:
    return ids(store.search(USER, request).turns)


def test_a_cold_turn_is_found_by_its_words_alone(store: MemoryStore) -> None:
    _, zebra, *_ = told(store, ["walk", "a zebra", *["walk"] * MANY])
    for request in (SearchRequest("zebra", k_turns=1), SearchRequest("", "Where was the zebra?", k_turns=1)):
        assert found(store, request) == [zebra.id]


@pytest.mark.parametrize(
    "hidden",
    [
        SearchRequest("zebra", k_turns=99, window=Window(start=day(20))),
        SearchRequest("zebra", k_turns=99, as_of=AsOf(day(0), "timeline")),
        SearchRequest("zebra", k_turns=99, as_of=AsOf(START, "recorded")),
    ],
)
def test_a_cold_turn_outside_what_is_asked_is_not_found(store: MemoryStore, hidden: SearchRequest) -> None:
    _, zebra, *_ = told(store, ["walk", "a zebra", *["walk"] * MANY])
    assert zebra.id in found(store, SearchRequest("zebra", k_turns=99))
    assert zebra.id not in found(store, hidden)


def test_an_erased_cold_turn_is_not_found(store: MemoryStore) -> None:
    _, zebra, *_ = told(store, ["walk", "a zebra", *["walk"] * MANY])
    assert zebra.id in found(store, SearchRequest("zebra", k_turns=99))
    store.eraser.erase_range(USER, Window(day(1), day(1)))
    assert zebra.id not in found(store, SearchRequest("zebra", k_turns=99))


def test_turns_that_were_seen_before_take_no_place(store: MemoryStore) -> None:
    _, zebra, *rest = told(store, ["walk", "a zebra on a walk", *["walk"] * MANY, *["zebra"] * MANY])
    seen = frozenset(turn.id for turn in rest if turn.user_text == "zebra")
    assert found(store, SearchRequest("zebra", exclude=seen, k_turns=1)) == [zebra.id]


def test_what_was_said_later_does_not_make_a_word_common(store: MemoryStore) -> None:
    _, zebra, *_ = told(store, ["a lion", "a zebra", *["a lion"] * MANY, *["a zebra"] * 2 * MANY])
    then = AsOf(day(MANY + 1), "timeline")
    assert found(store, SearchRequest("zebra, lion", as_of=then, k_turns=1)) == [zebra.id]


def table_of(texts: Sequence[str]) -> TermTable:
    table = TermTable()
    for text in texts:
        table.append(term_keys(terms(text)))
    return table


TEXTS = st.lists(st.lists(st.sampled_from(WORDS), max_size=4).map(" ".join), min_size=1, max_size=12)


@given(TEXTS, st.data())
def test_what_was_not_known_has_no_part_in_the_scores_of_words(texts: list[str], data: st.DataObject) -> None:
    known = np.array(data.draw(st.lists(st.booleans(), min_size=len(texts), max_size=len(texts))))
    query = ("tea, Berlin", "running with a piano", "")
    scores = word_scores(table_of(texts), query, known)
    then = [text for text, was_known in zip(texts, known, strict=True) if was_known]
    assert not scores[~known].any()
    assert scores[known] == pytest.approx(word_scores(table_of(then), query, np.ones(len(then), np.bool_)))
