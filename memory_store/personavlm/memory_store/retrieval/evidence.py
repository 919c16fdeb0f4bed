"""What one view of a query and the texts of a corpus have in common, each part worked out once.

The signals read from here. A text that was not known at the asked time has no part in anything: no count
takes it in, and a neighbour sees it as silent.
"""

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from personavlm.memory_store.encoder import Vectors
from personavlm.memory_store.retrieval.corpus import Corpus
from personavlm.memory_store.retrieval.lexical import (
    Mask,
    Scores,
    rarity,
    saturated,
    term_keys,
    terms,
)
from personavlm.memory_store.retrieval.query import QueryView

NEIGHBOURS = ((1, 0.7), (-1, 0.4), (2, 0.35))
"""How far before a text its neighbour stands (after it, if negative), and how much of a term found there
counts. What answers a question often lacks its words: they stand in the message before."""

MOST_TOKENS = 32
"""Tokens of a query that are compared, the rarest: a long message costs no more than a short one."""


class Evidence:
    """``known`` (len,) marks the texts that may be learned from, all by default."""

    def __init__(self, corpus: Corpus, view: QueryView, known: Mask | None = None) -> None:
        self.corpus, self.view, self.known = corpus, view, known

    # words

    @cached_property
    def word_counts(self) -> Scores:
        """``(t, n)``: how often each text holds each term of the query."""
        return self.corpus.words.counts(_distinct(terms(self.view.words)), self.known)

    @cached_property
    def word_rarity(self) -> Scores:
        """``(t,)``"""
        return rarity(self.word_counts, self.known)

    @cached_property
    def word_gains(self) -> Scores:
        """``(t, n)``: the part of each term in a text's BM25; all parts together stay below 1."""
        gains = saturated(self.word_counts, self.corpus.words.lengths, self.known)
        return gains * _shares(self.word_rarity)[:, np.newaxis] / np.float32(1.9)

    def coverage(self, counts: Scores) -> Scores | None:
        """``(n,)``: the share of the query's terms that a text holds, rare ones counting more."""
        if not len(counts):
            return None
        return np.asarray(_shares(rarity(counts, self.known)) @ (counts > 0), np.float32)

    # vectors

    @cached_property
    def cosines(self) -> Scores | None:
        """``(n,)`` cosine of the query with each text."""
        vector = self.view.encoded
        return None if vector is None else self.corpus.cosines(vector.vector)

    @cached_property
    def token_choice(self) -> NDArray[np.int64]:
        """Places of the query's tokens that are compared."""
        return np.argsort(-self._all_token_rarity, kind="stable")[:MOST_TOKENS]

    @cached_property
    def _all_token_rarity(self) -> Scores:
        encoded = self.view.encoded
        if encoded is None or not len(encoded.ids):
            return np.empty(0, np.float32)
        ids, places = np.unique(encoded.ids, return_inverse=True)
        counts = self.corpus.tokens.counts(ids, len(self.corpus), self.known)
        return rarity(counts, self.known)[places]

    @cached_property
    def token_weights(self) -> Scores:
        """``(m,)``: each compared token's share of the query."""
        return _shares(self._all_token_rarity[self.token_choice])

    @cached_property
    def nearest_tokens(self) -> Scores:
        """``(m, n)``: how near each text comes to each token of the query; NaN without tokens."""
        encoded = self.view.encoded
        tokens = np.empty((0, 0), np.float32) if encoded is None else encoded.tokens[self.token_choice]
        return self.corpus.tokens.nearest(tokens, len(self.corpus))

    @property
    def facets(self) -> Scores:
        """``(m, n)``: how near each text comes to each token of the query, by the token's share."""
        return self.token_weights[:, np.newaxis] * np.nan_to_num(self.nearest_tokens)

    @cached_property
    def sentence(self) -> Scores | None:
        """``(n,)``: how near each text's nearest sentence comes to the query."""
        encoded = self.view.encoded
        if encoded is None or not len(encoded.tokens):
            return None
        mean: Vectors = encoded.tokens.mean(axis=0)
        return self.corpus.tokens.nearest_sentence(mean / np.linalg.norm(mean), len(self.corpus))

    # neighbours

    def beside(self, values: Scores, distance: int) -> Scores:
        """``(..., n)``: what the text so many places before has (after, if negative), 0 where none is."""
        there = self.corpus.neighbour(distance, self.known)
        moved = np.roll(values, distance, axis=-1)
        moved[..., ~there] = 0
        return np.nan_to_num(moved, copy=False)

    def windowed(self, values: Scores) -> Scores:
        """``(t, n)``: each term's best place in the text or, for less, in its neighbours."""
        best = values.copy()
        for distance, share in NEIGHBOURS:
            np.maximum(best, np.float32(share) * self.beside(values, distance), out=best)
        return best

    def of_session(self, values: Scores) -> Scores:
        """``(t, n)``: each term's best place in the text's session."""
        runs = self.corpus.runs.array
        known = np.maximum(np.nan_to_num(values), 0)  # what is hidden counts 0, so nothing may count less
        if self.known is not None:
            known[..., ~self.known] = 0
        if not len(runs):
            return known
        starts = np.flatnonzero(np.diff(runs, prepend=runs[0] - 1))
        return np.asarray(np.maximum.reduceat(known, starts, axis=-1)[..., runs - runs[0]], np.float32)


def _distinct(found: list[str]) -> NDArray[np.uint32]:
    return np.unique(term_keys(found))


def _shares(weights: Scores) -> Scores:
    total = weights.sum()
    return weights / total if total else weights
