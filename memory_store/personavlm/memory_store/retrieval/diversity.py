"""Which of the best texts to bring: every part of the query, and nothing twice.

A search brings few texts. One that says again what is brought already, or that meets the same part of the
query while another part is met by none, takes the place of one that is missed. So the best texts are taken
one by one, each judged beside those taken before: maximal marginal relevance for repeats (Carbonell and
Goldstein, SIGIR 1998), and for facets the explicit query aspects of xQuAD (Santos et al., WWW 2010), the
aspects being the query's tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from personavlm.memory_store.encoder import Vectors
from personavlm.memory_store.retrieval.lexical import Scores

CANDIDATES = 60
"""Of these best texts some are taken; texts below are too far from the query to be worth a look."""

REPEATED = 0.8
"""Cosine of two texts from which one repeats the other: below it they say different things of one matter,
as the turns of an episode do, and each may be evidence."""


@dataclass(frozen=True, slots=True)
class Content:
    """What texts say: unit vectors ``(n, dim)``, zeros where there is none, and how near each comes to each
    token of the query by that token's share, ``(m, n)``."""

    vectors: Vectors
    facets: Scores

    def of(self, positions: Sequence[int] | NDArray[np.int64]) -> "Content":
        """The same for some of the texts."""
        return Content(self.vectors[positions], self.facets[:, positions])


@dataclass(frozen=True, slots=True)
class Diversity:
    """Points, on the scale of the scores, for meeting all of the query for the first time (``facets``), and
    against a text whose very words were taken before (``repeats``). 0 switches either off."""

    facets: float = 0.5
    repeats: float = 1.0

    def order(self, scores: Scores, content: Content, k: int) -> list[int]:
        """The k texts to bring, in the order of their choice. ``scores`` ``(n,)`` of ``content``'s texts."""
        judged = scores.astype(np.float32)
        nearest = np.zeros(len(scores), np.float32)
        met = np.zeros((len(content.facets), 1), np.float32)
        chosen: list[int] = []
        for _ in range(min(k, len(scores))):
            new = np.maximum(content.facets - met, 0).sum(axis=0)
            repeated = np.maximum(nearest - REPEATED, 0) / (1 - REPEATED)
            # The last digits of sums must not order equal texts.
            value = np.round(judged + self.facets * new - self.repeats * repeated, 4)
            best = int(value.argmax())
            chosen.append(best)
            judged[best] = -np.inf
            nearest = np.maximum(nearest, np.vecdot(content.vectors, content.vectors[best]))
            met = np.maximum(met, content.facets[:, best : best + 1])
        return chosen


DIVERSITY = Diversity()
