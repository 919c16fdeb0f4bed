"""Plain vector search, of users in memory and of users who are not."""

from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from personavlm.memory_store import Add, MemoryKind, MemoryStore, UserKey
from personavlm.memory_store.retrieval.nearest import Near, nearest
from tests.unit.memory_store.encoders import WordEncoder, open_store
from tests.unit.memory_store.steps import day, remember, say

USER = UserKey("t", "u")
VALUES = st.lists(st.floats(-1, 1, width=32) | st.just(float("nan")), max_size=20)


@given(VALUES, st.integers(-1, 25))
def test_the_greatest_come_first(values: list[float], k: int) -> None:
    found = nearest(np.array(values, np.float32), k)
    real = sorted((value for value in values if value == value), reverse=True)
    assert [value for _, value in found] == real[: max(k, 0)]
    assert all(values[place] == value for place, value in found)


def filled(folder: Path) -> MemoryStore:
    store = open_store(folder)
    for number, text in enumerate(["green tea", "black tea", "red wine", "a violin"]):
        say(store, USER, number, text, "noted")
    remember(store, USER, MemoryKind.SEMANTIC, Add("likes green tea", day(9), ()))
    say(store, UserKey("t", "other"), 0, "green tea")
    store.index(USER)
    store.index(UserKey("t", "other"))
    return store


def cosines(found: list[Near]) -> list[tuple[str, float]]:
    return sorted((near.field, round(near.cosine, 5)) for near in found)


def test_who_is_not_in_memory_finds_the_same(tmp_path: Path) -> None:
    vector = WordEncoder().encode(["green tea"])[0]
    store = filled(tmp_path)
    hot = store.nearest(USER, vector, 4)
    assert (hot[0].field, round(hot[0].cosine, 4)) == ("user", 1.0)
    assert {near.field for near in hot} >= {"user", "text"}
    store = open_store(tmp_path)
    for load in (False, True):
        if load:
            store.turns(USER)
        found = store.nearest(USER, vector, 4)
        assert cosines(found) == cosines(hot) and found[0] == hot[0]
    assert store.nearest(UserKey("t", "nobody"), vector, 4) == []


def test_all_that_is_there_where_that_is_less(tmp_path: Path) -> None:
    store = filled(tmp_path)
    vector = WordEncoder().encode(["tea"])[0]
    assert len(store.nearest(USER, vector, 99)) == 9
    assert store.nearest(USER, vector, 0) == []
