"""Links the episodes of a closed session to older ones, and follows links to a whole thread."""

from collections import deque
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from datetime import datetime
from itertools import takewhile
from math import nan

from personavlm.memory_store.cache import UserCache, UserState
from personavlm.memory_store.errors import NotFoundError
from personavlm.memory_store.lifecycle.links import Mentions, mentions, relations
from personavlm.memory_store.queries import AsOf, ThreadEntry
from personavlm.memory_store.records import AnyMemory, EpisodeLink, EpisodicMemory, MemoryKind, UserKey
from personavlm.memory_store.retrieval.retriever import Retriever
from personavlm.memory_store.storage.shard import Shard
from personavlm.memory_store.storage.tables import row_of
from personavlm.memory_store.times import utc, utc_as_of
from personavlm.memory_store.working_set import WorkingSet

MOST_EPISODES = 50
"""In one view of a thread."""
SURE = 0.8
"""Score from which links are followed on and on. On planted matters, .92 of a thread then belong to its
matter, and .84 of the matter are in it; following every link it would be .80 and .92."""

Episodes = list[EpisodicMemory]


class Linker:
    """Links of any user of a shard."""

    def __init__(
        self, shard: Shard, cache: UserCache, retriever: Retriever, clock: Callable[[], datetime]
    ) -> None:
        self._shard, self._cache, self._retriever, self._clock = shard, cache, retriever, clock

    def link(self, user: UserKey, source: str) -> tuple[EpisodeLink, ...]:
        """Link the episodes that this step wrote to older ones of the same thread; the links.

        Done again, it returns what was stored the first time. An episode is linked to what was known
        when it became known itself, and not within its own session.
        """
        with self._cache.hold(user) as state:
            new = _written(state.records, source)
            if not new or state.records.links_of_source(source):
                return tuple(state.records.links_of_source(source))
            episodes = {each.id: each for one in new for each in (one, *_older(state.records, one))}
            state.index.refresh(state.records)
            missing = state.index.memories[MemoryKind.EPISODIC].missing()
        vectors = self._retriever.encode(missing)
        spoken_of = {id: mentions(episode) for id, episode in episodes.items()}
        with self._cache.hold(user) as state:
            state.index.refresh(state.records)
            state.index.set_texts(vectors)
            # Looked up again: what was erased meanwhile must not come back in a link.
            new = [episode for episode in _written(state.records, source) if episode.id in spoken_of]
            links = [link for episode in new for link in self._links(state, episode, spoken_of)]
            return tuple(self._store(user, state, links))

    def _links(
        self, state: UserState, episode: EpisodicMemory, spoken_of: Mapping[str, Mentions]
    ) -> list[EpisodeLink]:
        records = state.records
        older = [each for each in _older(records, episode) if each.id in spoken_of]
        cosines = _cosines(state, episode, older)
        now = records.not_before_last(utc(self._clock()))
        return [
            EpisodeLink(
                episode=episode.id,
                related=older[relation.position].id,
                shared=relation.shared,
                score=relation.score,
                source=episode.source,
                event_time=episode.revised_at,
                recorded_at=now,
            )
            for relation in relations(spoken_of[episode.id], [spoken_of[each.id] for each in older], cosines)
        ]

    def _store(self, user: UserKey, state: UserState, links: list[EpisodeLink]) -> list[EpisodeLink]:
        if not links:
            return links
        try:
            self._shard.append(user, "links", [row_of(user, link) for link in links])
        except BaseException:
            self._cache.forget(user)  # whether it took effect, only the table knows
            raise
        for link in links:
            state.records.add_link(link)
        return links

    def thread(self, user: UserKey, episode: str, *, as_of: AsOf | None = None) -> tuple[ThreadEntry, ...]:
        """The episode, those linked with it, and those to which sure links lead, in order of time.

        At most the nearest 50, each with its links to older ones of the thread. An episode is in another's
        thread if and only if that is in its own, unless there are more. NotFoundError where there is no
        such episode, or none that holds.
        """
        as_of = utc_as_of(as_of)
        with self._cache.hold(user) as state:
            return thread_of(state.records, episode, as_of)


def thread_of(records: WorkingSet, id: str, as_of: AsOf | None) -> tuple[ThreadEntry, ...]:
    """The thread of one episode, in order of time. NotFoundError."""
    live = {each.id: each for each in _episodes(records.memories(MemoryKind.EPISODIC, as_of))}
    if id not in live:
        raise NotFoundError(f"no episode {id!r}")
    direct = (link.other_end(id) for link in records.links(id, as_of))
    ids = dict.fromkeys(each for each in (id, *direct, *_reached(records, id, as_of, live)) if each in live)
    shown = [live[each] for each in list(ids)[:MOST_EPISODES]]
    shown.sort(key=lambda episode: (episode.event_time, episode.id))
    return tuple(ThreadEntry(each, _links_back(records, each.id, shown, as_of)) for each in shown)


def _reached(records: WorkingSet, id: str, as_of: AsOf | None, live: Container[str]) -> list[str]:
    """Where sure links lead, the nearest first."""
    reached, waiting = {id}, deque([id])
    found: list[str] = []
    while waiting and len(found) < MOST_EPISODES:
        at = waiting.popleft()
        sure = (link for link in records.links(at, as_of) if link.score >= SURE)
        ends = [end for end in (link.other_end(at) for link in sure) if end in live and end not in reached]
        reached.update(ends)
        waiting.extend(ends)
        found += ends
    return found


def _links_back(
    records: WorkingSet, episode: str, shown: Iterable[EpisodicMemory], as_of: AsOf | None
) -> tuple[EpisodeLink, ...]:
    ids = {each.id for each in shown}
    links = records.links(episode, as_of)
    return tuple(link for link in links if link.episode == episode and link.related in ids)


def _episodes(memories: Iterable[AnyMemory]) -> Episodes:
    return [memory for memory in memories if isinstance(memory, EpisodicMemory)]


def _written(records: WorkingSet, source: str) -> Episodes:
    """The episodes of a step that still hold, as they were written."""
    live = {memory.id for memory in records.memories(MemoryKind.EPISODIC)}
    written = records.written(MemoryKind.EPISODIC, source) or ()
    return list({episode.id: episode for episode in _episodes(written) if episode.id in live}.values())


def _older(records: WorkingSet, episode: EpisodicMemory) -> Episodes:
    """What an episode may be linked to: older, of another session, made and known before it, and held to
    this day. What is imported later from earlier days links to what was there, not the other way round."""
    live = {memory.id for memory in records.memories(MemoryKind.EPISODIC)}
    known = _episodes(records.memories(MemoryKind.EPISODIC, AsOf(episode.revised_at)))
    return [
        each
        for each in takewhile(lambda each: each.id != episode.id, known)  # in the order of making
        if each.id in live
        and each.session != episode.session
        and each.source != episode.source
        and (each.event_time, each.id) < (episode.event_time, episode.id)
    ]


def _cosines(state: UserState, episode: EpisodicMemory, others: Sequence[EpisodicMemory]) -> list[float]:
    """Of an episode's vector with those of others; NaN where one of the two is missing."""
    corpus = state.index.memories[MemoryKind.EPISODIC].corpus
    own, *positions = state.index.entries([episode, *others])[:, 0].tolist()
    if not corpus.encoded.array[own]:
        return [nan] * len(others)
    return [float(cosine) for cosine in corpus.cosines(corpus.vectors.array[own])[positions]]
