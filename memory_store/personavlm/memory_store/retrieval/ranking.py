"""Ranking of one user's texts of one kind: several signals, calibrated, then added.

Each signal scores every text for one view of the query (the policy's keywords, or the user's own
message). Signals live on different scales, so each is turned into a z-score first. Mean and deviation
come from the user's own texts, shrunk towards fixed priors: with five texts the priors decide, with
five hundred the texts do. Reciprocal ranks would throw away by how much a text is ahead.

A new signal is one more ``Signal`` in ``SIGNALS``.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from personavlm.memory_store.encoder import TextEncoder, Vectors
from personavlm.memory_store.retrieval.lexical import CJK, Bm25, Mask, Scores, terms

PRIOR_STRENGTH = 20.0
"""How many texts of the user's own weigh as much as the prior."""


@dataclass(frozen=True, slots=True)
class QueryView:
    """What is looked for: the policy's keywords and the user's own words, each with its vector.

    A vector is ``None`` where its text is empty.
    """

    keywords: str
    query: str
    keywords_vector: Vectors | None
    query_vector: Vectors | None


def query_view(keywords: str, query: str, encoder: TextEncoder, *, names: Sequence[str] = ()) -> QueryView:
    """Encode both views in one batch.

    ``names`` of the conversation's own participants are taken out of what is encoded: a sentence
    encoder otherwise ranks texts by whom they name. They stay in ``keywords`` and ``query``, where
    rarity weighs them rightly.
    """
    views = {view: without_names(view, names) for view in (keywords, query) if view.strip()}
    if not views:
        return QueryView(keywords, query, None, None)
    vectors = dict(zip(views, encoder.encode(list(views.values())), strict=True))
    return QueryView(keywords, query, vectors.get(keywords), vectors.get(query))


def without_names(text: str, names: Sequence[str]) -> str:
    """The text without these names and their possessive endings; unchanged if nothing else is in it."""
    kept = text
    for name in sorted(filter(None, names), key=len, reverse=True):
        whole = re.escape(name) if re.search(f"[{CJK}]", name) else rf"(?<!\w){re.escape(name)}(?!\w)"
        kept = re.sub(rf"{whole}(?:['\u2019]s\b)?", " ", kept, flags=re.IGNORECASE)
    return " ".join(kept.split()) if re.search(r"\w", kept) else text


class Corpus:
    """Searchable texts of one kind for one user; grows by append. Calls must not overlap with ``add``."""

    def __init__(self, dim: int) -> None:
        self._texts: list[str] = []
        self._lexical = Bm25()
        self._vectors = np.zeros((16, dim), np.float32)
        self._encoded = np.zeros(16, np.bool_)

    def __len__(self) -> int:
        return len(self._texts)

    def add(self, text: str, keywords: str = "", vector: Vectors | None = None) -> int:
        """Append a text, return its position. ``keywords`` are searched by word, not encoded."""
        position = len(self._texts)
        if position == len(self._encoded):
            self._vectors = np.concatenate([self._vectors, np.zeros_like(self._vectors)])
            self._encoded = np.concatenate([self._encoded, np.zeros_like(self._encoded)])
        self._texts.append(text)
        self._lexical.append(terms(f"{text}\n{keywords}"))
        if vector is not None:
            self.set_vector(position, vector)
        return position

    def set_vector(self, position: int, vector: Vectors) -> None:
        """Give the text at ``position`` its ``(dim,)`` unit vector. IndexError beyond the last text."""
        if not 0 <= position < len(self):
            raise IndexError(f"no text at position {position} of {len(self)}")
        self._vectors[position] = vector
        self._encoded[position] = True

    def missing(self) -> tuple[int, ...]:
        """Positions of texts without a vector, ascending."""
        return tuple(int(i) for i in np.flatnonzero(~self._encoded[: len(self)]))

    def text(self, position: int) -> str:
        """The text at ``position``, the one to encode."""
        return self._texts[position]

    def scores(self, query: QueryView, mask: Mask, known: Mask | None = None) -> Scores:
        """``(len,)`` fused scores, about 0 for a text that has no more to do with the query than most;
        ``-inf`` where ``mask`` is False.

        A mask (window, seen ids) hides texts but leaves the scores of the others as they are, so scores
        of a narrow and a widened search compare. ``known`` marks the texts that statistics are taken
        over, all by default; an as-of read passes what was known then and gets that day's scores.
        """
        fused = np.zeros(len(self), np.float32)
        weight = 0.0
        for signal in SIGNALS:
            raw = signal.measure(self, query, known)
            if raw is not None:
                fused += np.float32(signal.weight) * signal.calibrate(raw, known)
                weight += signal.weight
        if weight:
            fused /= np.float32(weight)
        fused[~mask] = -np.inf
        return fused

    def cosines(self, vector: Vectors | None) -> Scores | None:
        """``(len,)`` cosine with every text, NaN where a text has no vector; None without a query vector."""
        if vector is None:
            return None
        size = len(self)
        # vecdot stays on this thread: a product by BLAS starts threads that wait on a busy machine's cores.
        products = np.vecdot(self._vectors[:size], vector)
        return np.where(self._encoded[:size], products, np.float32(np.nan))

    def words(self, text: str, known: Mask | None) -> Scores | None:
        """``(len,)`` BM25 in [0, 1]; None where the query has no term."""
        query = Counter(terms(text))
        return self._lexical.scores(query, known) if query else None


@dataclass(frozen=True, slots=True)
class Signal:
    """One named way to score texts, with its weight in the sum.

    ``measure`` gives ``(len,)`` raw scores, NaN where a text cannot be judged, or None where the query
    gives it nothing to work on. ``mean`` and ``deviation`` are the prior of the raw scores.
    """

    name: str
    weight: float
    mean: float
    deviation: float
    measure: Callable[[Corpus, QueryView, Mask | None], Scores | None]

    def calibrate(self, raw: Scores, known: Mask | None = None) -> Scores:
        """z-scores against the known texts' own mean and deviation, both shrunk towards the prior.

        A text that cannot be judged gets 0: neither for nor against it.
        """
        judged = ~np.isnan(raw)
        sample = raw[judged if known is None else judged & known]
        total = sample.size + PRIOR_STRENGTH
        mean = (float(sample.sum()) + PRIOR_STRENGTH * self.mean) / total
        squares = float(np.square(sample - mean).sum())
        prior = PRIOR_STRENGTH * (self.deviation**2 + (self.mean - mean) ** 2)
        deviation = float(np.sqrt((squares + prior) / total))
        return np.where(judged, (raw - np.float32(mean)) / np.float32(deviation), np.float32(0))


# Weights were set by hand; anything from 0.4 to 1 for BM25 ranks conversations about as well. Priors are
# what MiniLM and BM25 give on conversations of some hundred messages.
SIGNALS = (
    Signal("dense keywords", 1.0, 0.09, 0.10, lambda corpus, query, _: corpus.cosines(query.keywords_vector)),
    Signal("dense query", 1.0, 0.09, 0.10, lambda corpus, query, _: corpus.cosines(query.query_vector)),
    Signal(
        "BM25 keywords", 0.5, 0.02, 0.05, lambda corpus, query, known: corpus.words(query.keywords, known)
    ),
    Signal("BM25 query", 0.5, 0.02, 0.05, lambda corpus, query, known: corpus.words(query.query, known)),
)
