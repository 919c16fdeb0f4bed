"""Around a search: encode the query and whatever has no vector yet, without holding the user's lock."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

import numpy as np

from personavlm.memory_store.cache import UserCache
from personavlm.memory_store.encoder import Vectors, encode_query_image, encode_texts, token_dim
from personavlm.memory_store.queries import AsOf, SearchRequest, SearchResult
from personavlm.memory_store.records import CoreMemory, MemoryKind, UserKey
from personavlm.memory_store.retrieval.cold_search import ColdSearch
from personavlm.memory_store.retrieval.dates import day_number
from personavlm.memory_store.retrieval.diversity import Content
from personavlm.memory_store.retrieval.evidence import Evidence
from personavlm.memory_store.retrieval.index import StoredVector, VectorKey, texts_of
from personavlm.memory_store.retrieval.lexical import Scores
from personavlm.memory_store.retrieval.names import Participants
from personavlm.memory_store.retrieval.nearest import Near
from personavlm.memory_store.retrieval.query import QueryView, query_views
from personavlm.memory_store.retrieval.ranking import signal_matrix
from personavlm.memory_store.retrieval.search import Search
from personavlm.memory_store.retrieval.tokens import packed_tokens
from personavlm.memory_store.storage.shard import Shard
from personavlm.memory_store.working_set import WorkingSet

NAME_KEYS = ("name", "assistant name")
"""The core memories that hold the names of the two who talk."""

ENCODED_AT_ONCE = 64
"""Texts that a search encodes before it ranks, the newest. The others it ranks by their words; ``index``
encodes them in batches of this size."""


@dataclass(frozen=True, slots=True)
class TurnSignals:
    """The ranking of a user's turns taken apart: ``texts`` are (turn id, "user" or "assistant"), ``matrix``
    is ``(len(names), len(texts))`` z-scores for the first view of the query, ``content`` what they say."""

    texts: tuple[tuple[str, str], ...]
    names: tuple[str, ...]
    matrix: Scores
    content: Content


class Retriever:
    """Searches and indexes any user of a shard."""

    def __init__(self, shard: Shard, cache: UserCache) -> None:
        self._shard, self._cache = shard, cache

    def search(self, user: UserKey, request: SearchRequest) -> SearchResult:
        """One search. Texts that have no vector yet, but for the newest, are ranked by their words alone."""
        with self._cache.hold(user) as state:
            state.refresh()
            texts = _newest(state.index.missing_texts())
            images = state.index.missing_images() if request.image_sha256 else ()
            participants, today = _asked(state.records, request.as_of)
        views = self._views(request, participants, today)
        encoded = self.encode(texts)
        encoded_images = self._encode_images(user, images)
        query_images = self._encode_query(user, request.image_sha256)
        with self._cache.hold(user) as state:
            state.refresh()
            state.index.set_texts(encoded)
            state.index.set_images(encoded_images)
            state.index_bytes = state.index.nbytes
            threshold = self._shard.image_encoder.threshold
            vectors = [view.encoded.vector for view in views if view.encoded]
            cold = ColdSearch(user, self._shard.text_vectors, vectors)
            return Search(state.records, state.index, request, views, query_images, threshold, cold).run()

    def index(self, user: UserKey) -> None:
        """Encode what has no vector and store all vectors that are not stored yet, batch by batch."""
        with self._cache.hold(user) as state:
            state.refresh()
            texts, images = state.index.missing_texts(), state.index.missing_images()
        for batch in _batches(texts):
            self._keep(user, self.encode(batch), {})
        self._keep(user, {}, self._encode_images(user, images))
        self._index_cold(user)

    def _index_cold(self, user: UserKey) -> None:
        """Turns that went cold before they had vectors."""
        with self._cache.hold(user) as state:
            waiting = state.records.cold.without_vectors()
        for first in range(0, len(waiting), ENCODED_AT_ONCE):
            ids = waiting[first : first + ENCODED_AT_ONCE]
            with self._cache.hold(user) as state:
                turns = state.records.cold.turns_at(state.records.cold.positions_of(ids))
            encoded = self.encode(texts_of(turns))
            with self._cache.hold(user) as state:
                left = {key: vector for key, vector in encoded.items() if key.id in state.records.cold}
                self._shard.text_vectors.save(user, left)
                state.records.cold.indexed(ids)

    def nearest(self, user: UserKey, vector: Vectors, k: int) -> list[Near]:
        """The k stored texts whose vectors have the greatest cosine with a unit vector, best first.

        Of a user who comes for the first time, only the vectors are read, and none of them is kept.
        """
        with self._cache.hold_unless_new(user) as state:
            if state is None:
                return self._shard.text_vectors.nearest(user, vector, k)
            state.refresh()
            cold = [Near(*found) for found in state.records.cold.nearest(vector, k)]
            return sorted([*state.index.nearest(vector, k), *cold], key=lambda near: -near.cosine)[:k]

    def turn_signals(self, user: UserKey, request: SearchRequest) -> TurnSignals:
        """What each signal says of each text of the user's turns, for fitting weights and for ablations."""
        with self._cache.hold(user) as state:
            state.refresh()
            participants, today = _asked(state.records, request.as_of)
        view = self._views(request, participants, today)[0]
        with self._cache.hold(user) as state:
            evidence = Evidence(state.index.turns.corpus, view)
            content = Content(evidence.corpus.vectors.array, evidence.facets)
            return TurnSignals(state.index.turns.texts(), *signal_matrix(evidence), content)

    def _views(self, request: SearchRequest, participants: Participants, today: int) -> tuple[QueryView, ...]:
        return query_views((request.keywords, request.query), self._shard.text_encoder, participants, today)

    def _keep(
        self, user: UserKey, texts: Mapping[VectorKey, StoredVector], images: Mapping[str, Vectors]
    ) -> None:
        with self._cache.hold(user) as state:
            state.refresh()
            state.index.set_texts(texts)
            state.index.set_images(images)
            state.index_bytes = state.index.nbytes
            new_texts, new_images = state.index.take_unsaved()
            self._shard.text_vectors.save(user, new_texts)
            self._shard.image_vectors.save(user, new_images)

    def encode(self, texts: Mapping[VectorKey, str]) -> dict[VectorKey, StoredVector]:
        """Texts with their vectors, and with their tokens where the encoder has any."""
        if not texts:
            return {}
        encoder = self._shard.text_encoder
        encoded = encode_texts(encoder, list(texts.values()))
        has_tokens = token_dim(encoder) > 0
        return {
            key: StoredVector(text.vector, packed_tokens(text) if has_tokens else None)
            for key, text in zip(texts, encoded, strict=True)
        }

    def _encode_images(self, user: UserKey, sha256s: tuple[str, ...]) -> dict[str, Vectors]:
        if not sha256s:
            return {}
        data = [self._shard.media.get(user, sha256) for sha256 in sha256s]
        return dict(zip(sha256s, self._shard.image_encoder.encode(data), strict=True))

    def _encode_query(self, user: UserKey, sha256s: tuple[str, ...]) -> Vectors | None:
        if not sha256s:
            return None
        data = [self._shard.media.get(user, sha256) for sha256 in sha256s]
        return np.concatenate([encode_query_image(self._shard.image_encoder, one) for one in data])


def _newest(texts: dict[VectorKey, str]) -> dict[VectorKey, str]:
    return dict(list(texts.items())[-ENCODED_AT_ONCE:])


def _batches(texts: dict[VectorKey, str]) -> Iterator[dict[VectorKey, str]]:
    waiting = iter(texts.items())
    while batch := dict(islice(waiting, ENCODED_AT_ONCE)):
        yield batch


def _asked(records: WorkingSet, as_of: AsOf | None) -> tuple[Participants, int]:
    """Who talk, and the day of asking: that of the newest turn where no other is given."""
    names = {
        memory.key: memory.text
        for memory in records.memories(MemoryKind.CORE, as_of)
        if isinstance(memory, CoreMemory) and memory.key in NAME_KEYS
    }
    newest = records.newest_turn(as_of)
    moment = as_of.time if as_of else newest and newest.event_time
    return Participants(*(names.get(key, "") for key in NAME_KEYS)), day_number(
        moment.date()
    ) if moment else 0
