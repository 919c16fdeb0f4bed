"""The remembering encoder gives what the encoder behind it gives, and asks it once."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from personavlm.memory_store.encoder import EncodedText, Vectors, token_dim
from personavlm.platform.encoders.cached import CachedEncoder


class LengthEncoder:
    """One dimension for the parity of a text's length, one for the rest; counts what it is asked."""

    model_id, dim = "length", 2

    def __init__(self) -> None:
        self.asked: list[str] = []

    def encode(self, texts: Sequence[str]) -> Vectors:
        self.asked += texts
        angles = np.array([len(text) for text in texts], np.float32)
        return np.stack([np.cos(angles), np.sin(angles)], axis=1)


@given(st.lists(st.lists(st.text(max_size=3), max_size=6), max_size=6), st.integers(1, 4))
def test_it_gives_what_the_other_gives(batches: list[list[str]], size: int) -> None:
    cached, plain = CachedEncoder(LengthEncoder(), size), LengthEncoder()
    for texts in batches:
        vectors = cached.encode(texts)
        assert vectors.shape == (len(texts), 2)
        if texts:
            np.testing.assert_array_equal(vectors, plain.encode(texts))


def test_a_text_is_encoded_once() -> None:
    other = LengthEncoder()
    cached = CachedEncoder(other)
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(cached.encode, [["a", "b"], ["b", "a"], ["a"], ["b"]]))
    assert sorted(other.asked) == ["a", "b"]


def test_what_was_used_longest_ago_is_forgotten_first() -> None:
    other = LengthEncoder()
    cached = CachedEncoder(other, size=2)
    for text in ("a", "b", "a", "c", "a", "b"):
        cached.encode([text])
    assert other.asked == ["a", "b", "c", "b"]


class LetterEncoder(LengthEncoder):
    """Every letter is a token."""

    token_dim = 1

    def encode_tokens(self, texts: Sequence[str]) -> list[EncodedText]:
        vectors = self.encode(texts)
        return [
            EncodedText(
                vector,
                np.arange(len(text), dtype=np.int32),
                np.ones((len(text), 1), np.float32),
                np.zeros(1, np.int32),
            )
            for text, vector in zip(texts, vectors, strict=True)
        ]


def test_tokens_come_with_the_vectors_and_are_kept_with_them() -> None:
    other = LetterEncoder()
    cached = CachedEncoder(other)
    assert token_dim(cached) == 1
    cached.encode(["ab"])
    (text,) = cached.encode_tokens(["ab"])
    assert other.asked == ["ab"]
    assert list(text.ids) == [0, 1] and text.tokens.shape == (2, 1)


def test_an_encoder_without_tokens_stays_without() -> None:
    cached = CachedEncoder(LengthEncoder())
    assert token_dim(cached) == 0
    (text,) = cached.encode_tokens(["ab"])
    assert not text.ids.size and text.vector.shape == (2,)
