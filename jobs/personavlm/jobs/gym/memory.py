"""A store as the agent's memory, read as of one moment and never written to."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from personavlm.memory_store import AsOf, Context, MemoryStore, SearchRequest, SearchResult, UserKey


@dataclass(frozen=True, slots=True)
class AsOfMemory:
    """What was known at ``moment`` on each user's timeline."""

    store: MemoryStore
    moment: datetime

    async def context(self, user: UserKey, now: datetime) -> Context:
        """What a first prompt starts from."""
        return self.store.context(user, now, as_of=AsOf(self.moment))

    async def search(self, user: UserKey, request: SearchRequest) -> SearchResult:
        """A search among what was known."""
        return self.store.search(user, replace(request, as_of=AsOf(self.moment)))

    async def image(self, user: UserKey, sha256: str) -> bytes:
        """The bytes of one of the user's images."""
        return self.store.image(user, sha256)
