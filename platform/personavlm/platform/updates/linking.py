"""The last step of a closed session: its episodes are linked to older ones of the same thread."""

from __future__ import annotations

import asyncio

from personavlm.memory_store import MemoryStore
from personavlm.memory_store.records import UserKey


async def link_episodes(store: MemoryStore, user: UserKey, source: str) -> None:
    """Link what the episodic step wrote under ``source``. No model is asked; links are made once."""
    await asyncio.to_thread(store.linker.link, user, source)
