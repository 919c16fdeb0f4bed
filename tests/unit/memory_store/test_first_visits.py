"""Who comes once for a vector search is not held in memory; who comes again is."""

from pathlib import Path

import numpy as np

from personavlm.memory_store import TurnDraft, UserKey
from tests.unit.memory_store.encoders import WordEncoder, open_store

ANN = UserKey("t", "ann")


def test_a_second_vector_search_holds_the_user_in_memory_and_finds_the_same(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    for text in ("red bicycle", "blue scarf", "green tea"):
        store.append_turn(ANN, TurnDraft(text, "ok"))
    store.index(ANN)
    (query,) = np.asarray(WordEncoder().encode(["blue scarf"]))
    for _ in range(2):
        store.evict()
        found, held = [], []
        for _ in range(3):
            found.append([near.id for near in store.nearest(ANN, query, 1)])
            held.append(store.stats().cached_users)
        assert held == [0, 1, 1]
        assert found == [[store.turns(ANN)[1].id]] * 3
