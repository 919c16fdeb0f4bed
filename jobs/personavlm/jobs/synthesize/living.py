"""What a life is lived in: a store of its own, with a clock that shows the life's time."""

from __future__ import annotations

import asyncio
from datetime import datetime
from pathlib import Path

from personavlm.memory_store import (
    Context,
    ImageEncoder,
    MemoryStore,
    SearchRequest,
    SearchResult,
    TextEncoder,
    UserKey,
)


class LifeClock:
    """Stands at the time of the turn at hand, so that rows written then say so in every run."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        """The time of the life."""
        return self.now


class StoreMemory:
    """A store as the agent's memory, in the same process."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    async def context(self, user: UserKey, now: datetime) -> Context:
        """What every first prompt starts from."""
        return await asyncio.to_thread(self._store.context, user, now)

    async def search(self, user: UserKey, request: SearchRequest) -> SearchResult:
        """One retrieval."""
        return await asyncio.to_thread(self._store.search, user, request)

    async def image(self, user: UserKey, sha256: str) -> bytes:
        """The bytes of an image."""
        return await asyncio.to_thread(self._store.image, user, sha256)


class Household:
    """The encoders that all stores of a process share."""

    def __init__(self, text_encoder: TextEncoder, image_encoder: ImageEncoder) -> None:
        self._text, self._image = text_encoder, image_encoder

    @classmethod
    def usual(cls) -> Household:
        """MiniLM and the descriptor of colour and contour, as at serving by default."""
        from personavlm.platform.encoders.image_descriptor import ImageDescriptor
        from personavlm.platform.encoders.minilm import MiniLmEncoder

        return cls(MiniLmEncoder(), ImageDescriptor())

    def open_store(self, folder: Path, clock: LifeClock) -> MemoryStore:
        """An empty store in a folder."""
        return MemoryStore.open(folder, text_encoder=self._text, image_encoder=self._image, clock=clock)
