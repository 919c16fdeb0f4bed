"""Token vectors of texts, and how near a query's tokens come to them.

Every token of the query looks for its nearest token in a text (Khattab and Zaharia, ColBERT, 2020). A
token takes one byte for each number: its direction is rounded to whole numbers up to 127, which changes a
cosine by some thousandths.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from personavlm.memory_store.encoder import EncodedText, Vectors
from personavlm.memory_store.retrieval.arrays import Rows
from personavlm.memory_store.retrieval.lexical import Mask, Scores, TermTable

Packed = NDArray[np.int8]

BLOCK = 1 << 18
"""Products in one block. BLAS starts threads for larger ones, which then wait for a busy machine's cores."""


@dataclass(frozen=True, slots=True)
class PackedTokens:
    """A text's tokens as they are stored: ``ids`` (n,) int32, ``vectors`` (n, token_dim) int8,
    ``sentences`` (s,) int32, the tokens at which sentences begin."""

    ids: NDArray[np.int32]
    vectors: Packed
    sentences: NDArray[np.int32]


def packed(rows: Vectors) -> Packed:
    """Directions of the rows in whole numbers of one byte."""
    if not rows.size:
        return np.empty(rows.shape, np.int8)
    largest = np.abs(rows).max(axis=1, keepdims=True)
    return np.asarray(np.rint(rows * (127 / np.maximum(largest, np.float32(1e-9)))), np.int8)


def packed_tokens(text: EncodedText) -> PackedTokens:
    """The tokens of a text as they are stored."""
    return PackedTokens(text.ids, packed(text.tokens), text.sentences)


def unpacked(rows: Packed) -> Vectors:
    """Unit vectors ``(n, dim)``."""
    vectors = rows.astype(np.float32)
    return vectors / _norms(rows)[:, np.newaxis]


class TokenTable:
    """The tokens of many texts, each text's in one stretch; texts may come in any order."""

    def __init__(self) -> None:
        self._ids = TermTable()
        self._vectors: Rows[np.int8] = Rows(np.int8, 0)
        self._norms: Rows[np.float32] = Rows(np.float32)
        self._starts: Rows[np.int64] = Rows(np.int64)
        self._texts: Rows[np.int64] = Rows(np.int64)
        self._sentences: Rows[np.int8] = Rows(np.int8, 0)
        self._sentence_norms: Rows[np.float32] = Rows(np.float32)
        self._sentence_starts: Rows[np.int64] = Rows(np.int64)

    @property
    def nbytes(self) -> int:
        """Memory taken."""
        tables = (self._vectors, self._norms, self._starts, self._texts)
        sentences = (self._sentences, self._sentence_norms, self._sentence_starts)
        return self._ids.nbytes + sum(table.nbytes for table in (*tables, *sentences))

    def set(self, text: int, tokens: PackedTokens) -> None:
        """Take in the tokens of the text at that position; a text without tokens stays unknown."""
        if not len(tokens.ids):
            return
        if not len(self._starts):  # only now is it known how long a token's vector is
            dim = tokens.vectors.shape[1]
            self._vectors, self._sentences = Rows(np.int8, dim), Rows(np.int8, dim)
        vectors = unpacked(tokens.vectors)
        means = packed(np.add.reduceat(vectors, tokens.sentences, axis=0))
        self._starts.append(len(self._vectors))
        self._sentence_starts.append(len(self._sentences))
        self._texts.append(text)
        self._ids.append(tokens.ids.astype(np.uint32))
        self._vectors.extend(tokens.vectors)
        self._norms.extend(_norms(tokens.vectors))
        self._sentences.extend(means)
        self._sentence_norms.extend(_norms(means))

    def counts(self, ids: NDArray[np.int32], texts: int, known: Mask | None) -> Scores:
        """``(len(ids), texts)``: how often each text holds each of these distinct token ids."""
        spread = np.zeros((len(ids), texts), np.float32)
        spread[:, self._texts.array] = self._ids.counts(ids.astype(np.uint32))
        if known is not None:
            spread[:, ~known] = 0
        return spread

    def nearest(self, tokens: Vectors, texts: int) -> Scores:
        """``(len(tokens), texts)``: the cosine of the text's token nearest to each of these unit vectors;
        NaN where a text has no tokens."""
        return self._best(tokens, self._vectors.array, self._norms.array, self._starts.array, texts)

    def nearest_sentence(self, vector: Vectors, texts: int) -> Scores:
        """``(texts,)``: the cosine of the text's sentence nearest to a unit vector, NaN without tokens.

        A sentence is the mean of its tokens in the context of the whole text (Günther et al., Late
        Chunking, 2024).
        """
        starts, norms = self._sentence_starts.array, self._sentence_norms.array
        best = self._best(vector[np.newaxis], self._sentences.array, norms, starts, texts)
        return np.asarray(best[0], np.float32)

    def _best(
        self, tokens: Vectors, rows: Packed, norms: Scores, starts: NDArray[np.int64], texts: int
    ) -> Scores:
        best = np.full((len(tokens), texts), np.nan, np.float32)
        if len(starts) and len(tokens):
            cosines = np.empty((len(tokens), len(rows)), np.float32)
            step = max(BLOCK // tokens.size, 1)
            for begin in range(0, len(rows), step):
                block = rows[begin : begin + step].astype(np.float32)
                np.matmul(tokens, block.T, out=cosines[:, begin : begin + step])
            cosines /= norms
            best[:, self._texts.array] = np.maximum.reduceat(cosines, starts, axis=1)
        return best


def _norms(rows: Packed) -> Scores:
    wide = rows.astype(np.float32)
    return np.asarray(np.maximum(np.sqrt(np.vecdot(wide, wide)), 1), np.float32)
