"""Diversity: what was said often leaves room, and a query of two parts gets both."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from personavlm.memory_store import Add, MemoryKind, MemoryStore, SearchRequest, UserKey
from personavlm.memory_store.encoder import Vectors
from personavlm.memory_store.retrieval.diversity import DIVERSITY, Content, Diversity
from tests.unit.memory_store.steps import day, ids, remember

OFF = Diversity(facets=0, repeats=0)
SEMANTIC = MemoryKind.SEMANTIC


def content(vectors: list[list[float]], facets: list[list[float]] | None = None) -> Content:
    rows: Vectors = np.array(vectors, np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return Content(rows, np.array(facets or np.zeros((0, len(rows))), np.float32))


def scores(*values: float) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    return np.array(values, np.float32)


@st.composite
def judged(draw: st.DrawFn) -> tuple[list[float], Content]:
    n = draw(st.integers(1, 8))
    numbers = st.integers(-9, 9).map(float)
    vectors = draw(st.lists(st.lists(numbers, min_size=2, max_size=2).filter(any), min_size=n, max_size=n))
    shares = st.lists(st.floats(0, 0.5, width=32), min_size=n, max_size=n)
    return draw(st.lists(numbers, min_size=n, max_size=n)), content(
        vectors, draw(st.lists(shares, max_size=2))
    )


@given(judged(), st.integers(0, 10))
def test_switched_off_the_scores_decide(texts: tuple[list[float], Content], k: int) -> None:
    values, said = texts
    expected = np.argsort(-scores(*values), kind="stable")[:k]
    assert OFF.order(scores(*values), said, k) == expected.tolist()


@given(judged(), st.integers(0, 10), st.integers(0, 10))
def test_more_are_the_same_and_then_some(texts: tuple[list[float], Content], k: int, more: int) -> None:
    values, said = texts
    order = DIVERSITY.order(scores(*values), said, k + more)
    assert len(set(order)) == len(order) == min(k + more, len(values))
    assert order[:k] == DIVERSITY.order(scores(*values), said, k)


@given(judged())
def test_nobody_gains_more_than_the_points_there_are(texts: tuple[list[float], Content]) -> None:
    values, said = texts
    order = DIVERSITY.order(scores(*values), said, len(values))
    most = DIVERSITY.facets + DIVERSITY.repeats + 1e-3
    for place, position in enumerate(order):
        assert all(values[later] <= values[position] + most for later in order[place:])


def test_a_repeat_gives_way_to_what_is_new() -> None:
    said = content([[1, 0], [1, 0.01], [1, 0.02], [0, 1]])
    assert DIVERSITY.order(scores(3, 2.9, 2.8, 2.2), said, 2) == [0, 3]
    assert OFF.order(scores(3, 2.9, 2.8, 2.2), said, 2) == [0, 1]


def test_a_repeat_that_fits_far_better_stays() -> None:
    said = content([[1, 0], [1, 0.01], [0, 1]])
    assert DIVERSITY.order(scores(3, 2.9, 0.5), said, 2) == [0, 1]


def test_the_part_of_the_query_that_none_has_met_counts() -> None:
    said = content([[1, 0], [0.6, 0.8], [0, 1]], [[0.5, 0.5, 0.0], [0.0, 0.0, 0.5]])
    assert DIVERSITY.order(scores(3, 2.6, 2.5), said, 2) == [0, 2]
    assert OFF.order(scores(3, 2.6, 2.5), said, 2) == [0, 1]


@pytest.mark.parametrize("times", [4, 12])
def test_a_fact_told_again_and_again_does_not_fill_the_answer(
    store: MemoryStore, new_user: Callable[[], UserKey], times: int
) -> None:
    user = new_user()
    told = [
        remember(store, user, SEMANTIC, Add("drinks tea in the garden", day(n), ())) for n in range(times)
    ]
    once = remember(store, user, SEMANTIC, Add("plays the violin", day(times), ()))
    request = SearchRequest(
        "tea in the garden, violin", "Where do I drink tea, and what do I play?", k_semantic=2
    )
    found = ids(store.search(user, request).semantic)
    assert once.id in found and set(found) <= {once.id, *(memory.id for memory in told)}
