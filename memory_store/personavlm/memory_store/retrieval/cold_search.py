"""A search that reaches a heavy user's cold turns.

Cold turns are found by vector and by words: of all that the time filter admits, those nearest to the query
and those that hold the most of its words (BM25), keywords and the user's own words alike. They are then
ranked together with the best of the hot ones, by the same code as always. What is approximate: the rarity of
words, the spread of each signal and a text's neighbours are taken over those that are ranked here, not over
everything. Where that is everything, nothing is approximate.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from personavlm.memory_store.encoder import Vectors
from personavlm.memory_store.queries import Hit, SearchRequest, Window
from personavlm.memory_store.records import EpisodicMemory, Turn, UserKey
from personavlm.memory_store.retrieval.index import SearchIndex
from personavlm.memory_store.retrieval.lexical import (
    Mask,
    Scores,
    TermTable,
    rarity,
    saturated,
    term_keys,
    terms,
)
from personavlm.memory_store.storage.vectors import VectorTable
from personavlm.memory_store.working_set import WorkingSet

COLD_CANDIDATES = 50
"""By vector, and as many by words."""
HOT_CANDIDATES = 200


class ColdSearch:
    """What a search of one heavy user needs of his cold turns."""

    def __init__(self, user: UserKey, table: VectorTable, vectors: list[Vectors]) -> None:
        """``vectors`` are the unit vectors of the query's views."""
        self._user, self._table, self._vectors = user, table, vectors

    def gathered(
        self,
        records: WorkingSet,
        index: SearchIndex,
        request: SearchRequest,
        around: Window,
        episodes: Sequence[Hit],
        hot_scores: Scores,
    ) -> tuple[WorkingSet, SearchIndex]:
        """The best hot turns and the cold ones found with what a search makes of them; ``around`` goes before
        the rest, the turns of ``episodes`` are among them. ``hot_scores`` are of ``records.turns``."""
        cold = records.cold
        evidence = {
            id for hit in episodes if isinstance(hit.item, EpisodicMemory) for id in hit.item.evidence
        }
        known = cold.known(request.as_of)
        eligible = cold.inside(around) & known
        eligible[cold.positions_of(request.exclude)] = False
        near = _best(eligible, cold.cosines(self._vectors), COLD_CANDIDATES)
        said = word_scores(cold.words(), (request.keywords, request.query), known)
        by_words = _best(eligible & (said > 0), said, COLD_CANDIDATES)
        by_words = by_words[said[by_words] > 0]
        chosen = np.union1d(np.union1d(near, by_words), np.array(cold.positions_of(evidence), np.int64))
        inside = np.array(
            [around.overlaps(turn.event_time, turn.event_time) for turn in records.turns], np.bool_
        )
        hot = _best(inside, hot_scores, HOT_CANDIDATES)
        hot = np.union1d(hot, np.array(records.positions_of(evidence), np.int64))
        return self._together([*cold.turns_at(chosen), *(records.turns[i] for i in hot.tolist())], index)

    def _together(self, turns: list[Turn], index: SearchIndex) -> tuple[WorkingSet, SearchIndex]:
        records = WorkingSet()
        for turn in turns:
            records.add_turn(turn)
        stored = self._table.read_of(self._user, [turn.id for turn in turns]) | index.turns.unsaved()
        gathered = SearchIndex(index.dim, stored, {})
        gathered.refresh(records)
        return records, gathered


def word_scores(words: TermTable, texts: Sequence[str], known: Mask) -> Scores:
    """``(len(words),)``: BM25 of the one of some texts that fits best, as a share of the most that it could
    give. What was not ``known`` scores 0 and changes nothing."""
    best = np.zeros(len(words), np.float32)
    for text in texts:
        counts = words.counts(np.unique(term_keys(terms(text))), known)
        weights = rarity(counts, known)
        gains = weights @ saturated(counts, words.lengths, known)
        np.maximum(best, gains / (weights.sum() or 1), out=best)
    return best


def _best(eligible: Mask, scores: Scores, most: int) -> NDArray[np.int64]:
    """Positions, ascending: the eligible first, then the higher score, then the newer."""
    order = np.lexsort((-np.arange(len(scores)), -scores, ~eligible))
    return np.sort(order[:most]).astype(np.int64)
