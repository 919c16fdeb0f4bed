"""Which of the ranked candidates a search brings: the time filter, its widening, and diversity."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

from personavlm.memory_store.queries import Window
from personavlm.memory_store.retrieval.diversity import CANDIDATES, DIVERSITY, Content
from personavlm.memory_store.retrieval.lexical import Mask, Scores
from personavlm.memory_store.times import microseconds, shifted

Instants = NDArray[np.int64]
Positions = NDArray[np.int64]

LEAST_WIDENING = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Candidates:
    """Things of one kind that a search may bring: scores, spans ``[begin, end]`` and the places of their
    texts in ``content``, each ``(n,)``."""

    scores: Scores
    begin: Instants
    end: Instants
    texts: Positions
    content: Content

    def only(self, positions: Sequence[int]) -> "Candidates":
        """Some of them."""
        spans = self.begin[positions], self.end[positions]
        return Candidates(self.scores[positions], *spans, self.texts[positions], self.content)

    def overlap(self, window: Window) -> Mask:
        """``(n,)``: which of them a window meets."""
        met = np.ones(len(self.scores), np.bool_)
        if window.start:
            met &= self.end >= microseconds(window.start)
        if window.end:
            met &= self.begin <= microseconds(window.end)
        return met

    def best(self, eligible: Mask, k: int) -> list[int]:
        """Positions of the best k eligible ones, best first; among equals the newest goes first."""
        ranked = np.lexsort((-self.begin, -self.scores))
        ranked = ranked[(eligible & np.isfinite(self.scores))[ranked]][: max(k, CANDIDATES)]
        if len(ranked) <= k:
            return [int(i) for i in ranked]
        content = self.content.of(self.texts[ranked])
        return [int(ranked[i]) for i in DIVERSITY.order(self.scores[ranked], content, k)]


@dataclass(frozen=True, slots=True)
class Choice:
    """Positions among the candidates, best first, and how many of them lie inside the window."""

    positions: list[int]
    inside: int
    widened: bool


def widened(window: Window) -> Window:
    """The window with each bounded side moved out by the window's length, at least seven days."""
    margin = LEAST_WIDENING
    if window.start and window.end:
        margin = max(window.end - window.start, LEAST_WIDENING)
    start = window.start and shifted(window.start, -margin)
    return Window(start, window.end and shifted(window.end, margin))


def choose(candidates: Candidates, window: Window, k: int) -> Choice:
    """The k best inside the window; where it holds fewer, the best of the widened one after them."""
    if k <= 0:
        return Choice([], 0, False)
    near = candidates.overlap(window)
    inside = candidates.best(near, k)
    if window == Window() or len(inside) == k:
        return Choice(inside, len(inside), False)
    around = candidates.overlap(widened(window)) & ~near
    return Choice([*inside, *candidates.best(around, k - len(inside))], len(inside), True)
