"""Frozen memory: a store that nobody writes, read as of the moment at which a question is asked."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from random import Random

from personavlm.jobs.rollouts.config import SamplingConfig
from personavlm.memory_store import (
    AsOf,
    Context,
    MemoryStore,
    SearchRequest,
    SearchResult,
    StoreError,
    UserKey,
    Window,
)
from personavlm.memory_store.storage.layout import KEY, Layout
from personavlm.platform.agent.types import Memory, Message
from personavlm.platform.encoders.cached import CachedEncoder
from personavlm.platform.encoders.image_descriptor import ImageDescriptor
from personavlm.platform.encoders.minilm import MiniLmEncoder
from personavlm.platform.errors import CommandError

ENCODED_TEXTS = 50_000


@dataclass(frozen=True, slots=True)
class AsOfMemory:
    """A `Memory` for the agent: what was known at ``moment`` on each user's timeline.

    Searches run in threads, so that other episodes go on meanwhile.
    """

    store: MemoryStore
    moment: datetime

    async def context(self, user: UserKey, now: datetime) -> Context:
        """What a first prompt starts from."""
        return self.store.context(user, now, as_of=AsOf(self.moment))

    async def search(self, user: UserKey, request: SearchRequest) -> SearchResult:
        """A search among what was known."""
        return await asyncio.to_thread(self.store.search, user, replace(request, as_of=AsOf(self.moment)))

    async def image(self, user: UserKey, sha256: str) -> bytes:
        """The bytes of one of the user's images."""
        return await asyncio.to_thread(self.store.image, user, sha256)


class Snapshot:
    """A store opened for reading, together with other processes: one folder, or the shards of a service."""

    def __init__(self, path: Path) -> None:
        """Raises `CommandError` where there is no store, or where somebody writes it."""
        encoder, images = CachedEncoder(MiniLmEncoder(), ENCODED_TEXTS), ImageDescriptor()
        self._layout = _layout(path)
        folders = [path] if self._layout is None else _shards(path, self._layout)
        try:
            self._stores = [
                MemoryStore.read_only(folder, text_encoder=encoder, image_encoder=images)
                for folder in folders
            ]
        except (StoreError, OSError) as error:
            raise CommandError(f"memory: {error}") from error

    def memory(self, message: Message) -> AsOfMemory:
        """What was known to the message's user when it was written."""
        shard = 0 if self._layout is None else self._layout.shard_of(message.user)
        return AsOfMemory(self._stores[shard], message.now)

    def close(self) -> None:
        """Let a writer open it."""
        for store in self._stores:
            store.close()


def _layout(path: Path) -> Layout | None:
    file = path / KEY
    return Layout.model_validate_json(file.read_bytes()) if file.is_file() else None


def _shards(path: Path, layout: Layout) -> list[Path]:
    return [path / f"shard-{shard:04d}" for shard in range(layout.shards)]


@dataclass(frozen=True, slots=True)
class PublishedMemory:
    """Searches as PersonaVLM's released training did: by the user's message, at all times, with a number of
    hits drawn for each search. For comparison only: it teaches nothing about what to search for."""

    memory: Memory
    sampling: SamplingConfig
    random: Random

    async def context(self, user: UserKey, now: datetime) -> Context:
        """As it is."""
        return await self.memory.context(user, now)

    async def search(self, user: UserKey, request: SearchRequest) -> SearchResult:
        """Whatever was asked for."""
        return await self.memory.search(
            user,
            replace(
                request,
                keywords=request.query,
                window=Window(),
                k_episodic=self.random.randint(*self.sampling.k_episodic),
                k_semantic=self.random.randint(*self.sampling.k_semantic),
            ),
        )

    async def image(self, user: UserKey, sha256: str) -> bytes:
        """As it is."""
        return await self.memory.image(user, sha256)
