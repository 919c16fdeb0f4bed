"""Memories that lack one thing, to see what a policy makes of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from personavlm.memory_store import Context, SearchRequest, SearchResult, UserKey, Window
from personavlm.platform.agent.types import Memory


@dataclass(frozen=True, slots=True)
class NothingFound:
    """Searches bring nothing: what the policy knows without its retriever."""

    memory: Memory

    async def context(self, user: UserKey, now: datetime) -> Context:
        """As it is."""
        return await self.memory.context(user, now)

    async def search(self, user: UserKey, request: SearchRequest) -> SearchResult:
        """Nothing."""
        return SearchResult()

    async def image(self, user: UserKey, sha256: str) -> bytes:
        """As it is."""
        return await self.memory.image(user, sha256)


@dataclass(frozen=True, slots=True)
class AnyTime:
    """Searches leave out the time that the policy asked for."""

    memory: Memory

    async def context(self, user: UserKey, now: datetime) -> Context:
        """As it is."""
        return await self.memory.context(user, now)

    async def search(self, user: UserKey, request: SearchRequest) -> SearchResult:
        """As it would be without a window."""
        return await self.memory.search(user, replace(request, window=Window()))

    async def image(self, user: UserKey, sha256: str) -> bytes:
        """As it is."""
        return await self.memory.image(user, sha256)
