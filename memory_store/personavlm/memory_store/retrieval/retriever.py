"""Around a search: encode the query and whatever has no vector yet, without holding the user's lock."""

import numpy as np

from personavlm.memory_store.cache import UserCache
from personavlm.memory_store.encoder import Vectors
from personavlm.memory_store.queries import AsOf, SearchRequest, SearchResult
from personavlm.memory_store.records import CoreMemory, MemoryKind, UserKey
from personavlm.memory_store.retrieval.index import VectorKey
from personavlm.memory_store.retrieval.ranking import query_view
from personavlm.memory_store.retrieval.search import Search
from personavlm.memory_store.storage.shard import Shard
from personavlm.memory_store.working_set import WorkingSet

NAME_KEY = "name"
"""The core memory that holds the user's name."""


class Retriever:
    """Searches and indexes any user of a shard."""

    def __init__(self, shard: Shard, cache: UserCache) -> None:
        self._shard, self._cache = shard, cache

    def search(self, user: UserKey, request: SearchRequest) -> SearchResult:
        """One search. Texts written while the query was encoded are ranked by their words alone."""
        with self._cache.hold(user) as state:
            state.index.refresh(state.records)
            texts = state.index.missing_texts()
            images = state.index.missing_images() if request.image_sha256 else ()
            names = _names(state.records, request.as_of)
        view = query_view(request.keywords, request.query, self._shard.text_encoder, names=names)
        encoded_texts = self._encode_texts(texts)
        encoded_images = self._encode_images(user, images)
        looked_for = self._encode_images(user, request.image_sha256)
        with self._cache.hold(user) as state:
            state.index.refresh(state.records)
            state.index.set_texts(encoded_texts)
            state.index.set_images(encoded_images)
            query_images = np.stack(list(looked_for.values())) if looked_for else None
            threshold = self._shard.image_encoder.threshold
            return Search(state.records, state.index, request, view, query_images, threshold).run()

    def index(self, user: UserKey) -> None:
        """Encode what has no vector and store all vectors that are not stored yet."""
        with self._cache.hold(user) as state:
            state.index.refresh(state.records)
            texts, images = state.index.missing_texts(), state.index.missing_images()
        encoded_texts, encoded_images = self._encode_texts(texts), self._encode_images(user, images)
        with self._cache.hold(user) as state:
            state.index.refresh(state.records)
            state.index.set_texts(encoded_texts)
            state.index.set_images(encoded_images)
            new_texts, new_images = state.index.take_unsaved()
            self._shard.text_vectors.save(user, new_texts)
            self._shard.image_vectors.save(user, new_images)

    def _encode_texts(self, texts: dict[VectorKey, str]) -> dict[VectorKey, Vectors]:
        if not texts:
            return {}
        return dict(zip(texts, self._shard.text_encoder.encode(list(texts.values())), strict=True))

    def _encode_images(self, user: UserKey, sha256s: tuple[str, ...]) -> dict[str, Vectors]:
        if not sha256s:
            return {}
        data = [self._shard.media.get(user, sha256) for sha256 in sha256s]
        return dict(zip(sha256s, self._shard.image_encoder.encode(data), strict=True))


def _names(records: WorkingSet, as_of: AsOf | None) -> tuple[str, ...]:
    memories = records.memories(MemoryKind.CORE, as_of)
    return tuple(
        memory.text for memory in memories if isinstance(memory, CoreMemory) and memory.key == NAME_KEY
    )
