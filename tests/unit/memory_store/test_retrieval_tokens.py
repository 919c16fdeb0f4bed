"""Token vectors in one byte a number: what packing loses, and the nearest token and sentence."""

from collections.abc import Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from personavlm.memory_store.encoder import EncodedText, Vectors
from personavlm.memory_store.retrieval.tokens import BLOCK, TokenTable, packed, packed_tokens, unpacked

DIM = 16
LENGTHS = st.lists(st.integers(0, 5), max_size=6)


def unit(rows: Vectors) -> Vectors:
    return np.asarray(rows / np.linalg.norm(rows, axis=-1, keepdims=True), np.float32)


def text_of(length: int, seed: int) -> EncodedText:
    tokens = unit(np.random.default_rng(seed).normal(size=(length, DIM)).astype(np.float32))
    sentences = np.arange(0, length, 2, dtype=np.int32)
    return EncodedText(np.zeros(1, np.float32), np.arange(length, dtype=np.int32), tokens, sentences)


def table_of(texts: Sequence[EncodedText], order: Sequence[int]) -> TokenTable:
    table = TokenTable()
    for place in order:
        table.set(place, packed_tokens(texts[place]))
    return table


def test_packing_keeps_directions() -> None:
    rows = unit(np.random.default_rng(0).normal(size=(500, 128)).astype(np.float32))
    assert packed(rows).dtype == np.int8
    assert (np.vecdot(rows, unpacked(packed(rows))) > 0.9995).all()
    assert packed(np.zeros((2, 4), np.float32)).tolist() == [[0] * 4] * 2


@given(LENGTHS, st.data())
def test_nearest_tokens_equal_brute_force(lengths: list[int], data: st.DataObject) -> None:
    texts = [text_of(length, seed) for seed, length in enumerate(lengths)]
    order = data.draw(st.permutations(range(len(texts))))
    query = text_of(3, 99).tokens
    found = table_of(texts, order).nearest(query, len(texts))
    assert found.shape == (3, len(texts))
    for column, text in zip(found.T, texts, strict=True):
        if len(text.tokens):
            np.testing.assert_allclose(column, (query @ text.tokens.T).max(axis=1), atol=0.02)
        else:
            assert np.isnan(column).all()


def test_a_sentence_is_the_mean_of_its_tokens() -> None:
    text = text_of(5, 1)
    query = text_of(1, 2).tokens[0]
    means = unit(np.stack([text.tokens[:2].mean(0), text.tokens[2:4].mean(0), text.tokens[4]]))
    (found,) = table_of([text], [0]).nearest_sentence(query, 1)
    np.testing.assert_allclose(found, (means @ query).max(), atol=0.02)


def test_blocks_join_without_a_seam() -> None:
    texts = [text_of(600, seed) for seed in range(3)]
    query = text_of(60, 9).tokens
    assert 60 * DIM * 1800 > 2 * BLOCK
    found = table_of(texts, [0, 1, 2]).nearest(query, 3)
    expected = np.stack([(query @ text.tokens.T).max(axis=1) for text in texts], axis=1)
    np.testing.assert_allclose(found, expected, atol=0.02)


def test_counts_stand_at_the_text_whatever_came_first() -> None:
    texts = [text_of(2, 0), text_of(0, 1), text_of(4, 2)]
    table = table_of(texts, [2, 1, 0])
    ids = np.array([0, 3], np.int32)
    assert table.counts(ids, 3, None).tolist() == [[1, 0, 1], [0, 0, 1]]
    assert table.counts(ids, 3, np.array([True, True, False])).tolist() == [[1, 0, 0], [0, 0, 0]]
    assert table.nbytes > 0
