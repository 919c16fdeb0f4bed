"""Retrieval over one user's working set: time filter, ranking, widening, in that order.

What a search may bring is settled before anything is ranked: records known as of the asked time, not
deleted, not seen before, inside the window. Where the window holds fewer than k, it is widened once,
by its own length but at least seven days, on each bounded side; what that adds is marked.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from personavlm.memory_store.context import estimate_tokens
from personavlm.memory_store.encoder import Vectors
from personavlm.memory_store.queries import Hit, SearchRequest, SearchResult, Window
from personavlm.memory_store.records import AnyMemory, EpisodicMemory, MemoryKind, Turn
from personavlm.memory_store.retrieval.choice import Candidates, choose, widened
from personavlm.memory_store.retrieval.cold_search import ColdSearch
from personavlm.memory_store.retrieval.diversity import Content
from personavlm.memory_store.retrieval.index import SearchIndex, images_of
from personavlm.memory_store.retrieval.query import QueryView
from personavlm.memory_store.retrieval.ranking import ranked
from personavlm.memory_store.working_set import WorkingSet, event_known, memory_known

SUPERSEDED_PENALTY = 1.0
"""One standard deviation: the memory that holds now goes first unless the old one fits far better."""
RELATED = 0.5
"""Standard deviations from which words are taken to speak of an image; images cost a prompt too much to
be shown for nothing."""

Floats = NDArray[np.float32]
Instants = NDArray[np.int64]


class Search:
    """One search. ``images`` are the query's image vectors ``(n, dim)``, ``threshold`` their cosine;
    ``cold`` reaches turns that are not in memory."""

    def __init__(
        self,
        working_set: WorkingSet,
        index: SearchIndex,
        request: SearchRequest,
        views: Sequence[QueryView],
        images: Vectors | None,
        threshold: float,
        cold: ColdSearch | None = None,
    ) -> None:
        self._cold = cold
        self._working_set, self._index = working_set, index
        self._request, self._views = request, views
        self._images, self._threshold = images, threshold
        self._widened: list[str] = []

    def run(self) -> SearchResult:
        """Every kind in turn. What is shown as visual is not shown again as semantic."""
        request = self._request
        memories = self._memories(MemoryKind.SEMANTIC, include_ended=True)
        candidates = self._candidates(MemoryKind.SEMANTIC, memories)
        visual = self._visual(memories, candidates)
        shown = {hit.item.id for hit in visual}
        rest = [number for number, memory in enumerate(memories) if memory.id not in shown]
        unseen = [memories[number] for number in rest]
        episodes = self._memories(MemoryKind.EPISODIC)
        of_episodes = self._candidates(MemoryKind.EPISODIC, episodes)
        episodic = self._choose("episodic", episodes, of_episodes, request.k_episodic)
        return SearchResult(
            semantic=_in_order(self._choose("semantic", unseen, candidates.only(rest), request.k_semantic)),
            episodic=_in_order([*episodic, *self._linked(episodic, episodes, of_episodes)]),
            procedural=_in_order(self._procedural()),
            visual=_in_order(visual),
            turns=_in_order(self._turns(episodic)),
            widened=tuple(self._widened),
        )

    # memories

    def _memories(self, kind: MemoryKind, *, include_ended: bool = False) -> list[AnyMemory]:
        """Those that may be shown: none of a kind that nobody asked for, as ranking is what costs."""
        request = self._request
        most = {
            MemoryKind.SEMANTIC: max(request.k_semantic, request.k_visual),
            MemoryKind.EPISODIC: request.k_episodic,
            MemoryKind.PROCEDURAL: request.k_procedural,
        }
        if most[kind] <= 0:
            return []
        memories = self._working_set.memories(kind, request.as_of, include_ended=include_ended)
        return [memory for memory in memories if memory.id not in request.exclude]

    def _candidates(self, kind: MemoryKind, memories: Sequence[AnyMemory]) -> Candidates:
        corpus = self._index.memories[kind].corpus
        positions, begin, end = self._index.entries(memories).T
        mask = np.zeros(len(corpus), np.bool_)
        mask[positions] = True
        found = ranked(corpus, self._views, mask, self._known_texts(kind), kind="memories")
        scores = _rounded(found.scores[positions])
        if self._request.window == Window():
            ended = np.array([memory.valid_to is not None for memory in memories], np.bool_)
            scores[ended] -= SUPERSEDED_PENALTY
        return Candidates(scores, begin, end, positions, Content(corpus.vectors.array, found.facets))

    def _known_texts(self, kind: MemoryKind) -> NDArray[np.bool_] | None:
        if self._request.as_of is None:
            return None
        known = np.zeros(len(self._index.memories[kind]), np.bool_)
        for versions in self._working_set.histories(kind):
            then = [memory for memory in versions if memory_known(memory, self._request.as_of)]
            known[self._index.entries(then)[:, 0]] = True
        return known

    def _choose(
        self,
        kind: Literal["semantic", "episodic", "visual"],
        memories: Sequence[AnyMemory],
        candidates: Candidates,
        k: int,
    ) -> list[Hit]:
        """Hits, best first."""
        choice = choose(candidates, self._request.window, k)
        if choice.widened:
            self._widened.append(kind)
        return [
            Hit(memories[position], kind, float(candidates.scores[position]), rank >= choice.inside)
            for rank, position in enumerate(choice.positions)
        ]

    def _linked(
        self, found: Sequence[Hit], episodes: Sequence[AnyMemory], candidates: Candidates
    ) -> list[Hit]:
        """The strongest related episode of each find, best find first, from where finds may come from."""
        window = self._request.window
        inside = candidates.overlap(window)
        near = candidates.overlap(widened(window)) if "episodic" in self._widened else inside
        positions = {episodes[i].id: i for i in np.flatnonzero(near).tolist()}
        for hit in found:
            del positions[hit.item.id]
        linked: list[Hit] = []
        for hit in found:
            for link in self._working_set.links(hit.item.id, self._request.as_of):
                i = positions.pop(link.other_end(hit.item.id), None)
                if i is not None:
                    score = float(candidates.scores[i])
                    linked.append(Hit(episodes[i], "episodic", score, not inside[i], link))
                    break
        return linked[: max(self._request.k_linked, 0)]

    def _procedural(self) -> list[Hit]:
        """Goals and habits hold whenever they were learned, so no window applies."""
        memories = self._memories(MemoryKind.PROCEDURAL)
        scores = self._candidates(MemoryKind.PROCEDURAL, memories).scores
        best = np.argsort(-scores, kind="stable")[: max(self._request.k_procedural, 0)]
        return [Hit(memories[i], "procedural", float(scores[i])) for i in best.tolist()]

    def _visual(self, semantic: Sequence[AnyMemory], candidates: Candidates) -> list[Hit]:
        """Memories with images: those that an image of the query matches; those that words do where the query
        has no image, or a thing that nobody has seen would pass for one that was spoken of."""
        numbers = [number for number, memory in enumerate(semantic) if images_of(memory)]
        memories, candidates = [semantic[number] for number in numbers], candidates.only(numbers)
        none = np.full(len(memories), -np.inf, np.float32)
        if self._images is None:
            scores = np.where(candidates.scores >= RELATED, candidates.scores, none)
        else:
            scores = np.array([self._likeness(memory) for memory in memories], np.float32)
        return self._choose("visual", memories, replace(candidates, scores=scores), self._request.k_visual)

    def _likeness(self, memory: AnyMemory) -> float:
        """The greatest cosine of the memory's images with the query's, -inf below the threshold."""
        stored = self._index.image_vectors(images_of(memory))
        if self._images is None or stored is None:
            return -np.inf
        nearest = float((self._images @ stored.T).max())
        return nearest if nearest >= self._threshold else -np.inf

    # turns

    def _turns(self, episodes: Sequence[Hit]) -> list[Hit]:
        """Raw turns of the found episodes within the token budget, then turns found by their own words."""
        if not episodes and self._request.k_turns <= 0:
            return []
        if self._cold and len(self._working_set.cold):
            return self._turns_with_cold(self._cold, episodes)
        request = self._request
        eligible, candidates = self._turn_candidates()
        scores = candidates.scores
        hits = self._episode_turns(episodes, eligible, scores)
        for hit in hits:
            assert isinstance(hit.item, Turn)
            scores[self._working_set.position(hit.item)] = -np.inf
        choice = choose(candidates, request.window, request.k_turns)
        if choice.widened:
            self._widened.append("turn")
        for rank, position in enumerate(choice.positions):
            turn = self._working_set.turns[position]
            hits.append(Hit(turn, "turn", float(scores[position]), rank >= choice.inside))
        return hits

    def _turns_with_cold(self, cold: ColdSearch, episodes: Sequence[Hit]) -> list[Hit]:
        """The same over the best of the turns in memory and the nearest of the others."""
        around, scores = widened(self._request.window), self._turn_candidates()[1].scores
        found = cold.gathered(self._working_set, self._index, self._request, around, episodes, scores)
        search = Search(*found, self._request, self._views, None, self._threshold)
        hits = search._turns(episodes)
        self._widened += search._widened
        return hits

    def _turn_candidates(self) -> tuple[NDArray[np.bool_], Candidates]:
        """Which turns may be shown, and all turns, each by the better one of its two texts."""
        turns, request = self._working_set.turns, self._request
        known = np.ones(len(turns), np.bool_)
        if request.as_of:
            known[:] = [event_known(turn, request.as_of) for turn in turns]
        eligible = known.copy()
        eligible[self._working_set.positions_of(request.exclude)] = False
        turn_of_text, times = self._index.turn_arrays()
        statistics = known[turn_of_text] if request.as_of else None
        corpus = self._index.turns.corpus
        found = ranked(corpus, self._views, eligible[turn_of_text], statistics)
        of_texts = _rounded(found.scores)
        scores = np.full(len(turns), -np.inf, np.float32)
        np.maximum.at(scores, turn_of_text, of_texts)
        texts = np.zeros(len(turns), np.int64)
        better = np.flatnonzero(of_texts == scores[turn_of_text])
        texts[turn_of_text[better]] = better
        content = Content(corpus.vectors.array, found.facets)
        return eligible, Candidates(scores, times, times, texts, content)

    def _episode_turns(
        self, episodes: Sequence[Hit], eligible: NDArray[np.bool_], scores: Floats
    ) -> list[Hit]:
        """An episode inside the window brings its turns inside the window; one from the widened window
        brings all. Where the budget does not hold them, the best go first."""
        window = self._request.window
        found: dict[str, Turn] = {}
        for episode in episodes:
            for id in episode.item.evidence if isinstance(episode.item, EpisodicMemory) else ():
                turn = self._working_set.turn(id)
                if turn is None or not eligible[self._working_set.position(turn)]:
                    continue
                if episode.outside_window or _inside(turn, window):
                    found[turn.id] = turn
        hits: list[Hit] = []
        budget = self._request.turns_token_budget
        position = self._working_set.position
        for turn in sorted(found.values(), key=lambda turn: (-scores[position(turn)], turn.event_time)):
            if estimate_tokens(turn) <= budget:
                budget -= estimate_tokens(turn)
                score = float(scores[position(turn)])
                no_text = score == -np.inf
                hits.append(Hit(turn, "turn", 0.0 if no_text else score, not _inside(turn, window)))
        return hits


def _rounded(scores: Floats) -> Floats:
    """The last digits of a sum depend on how many texts there are: they must not order equal texts."""
    return np.round(scores, 4)


def _inside(turn: Turn, window: Window) -> bool:
    return window.overlaps(turn.event_time, turn.event_time)


def _in_order(hits: list[Hit]) -> tuple[Hit, ...]:
    """In the order of their happening."""
    return tuple(sorted(hits, key=lambda hit: (hit.item.event_time, hit.item.id)))
