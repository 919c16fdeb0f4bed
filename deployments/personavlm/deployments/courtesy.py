"""Updates give way to replies: both share the memory actor's process, and people wait for replies only."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

from personavlm.platform.engines.around import EngineAround
from personavlm.platform.engines.base import Chunk, Conversation, Engine, Sampling

QUIET_S = 0.1
"""Replies make several calls with short pauses between them; a longer pause means that nobody waits."""
PATIENCE_S = 2.0
"""The longest that one step of an update gives way, so that it never starves."""


class Courtesy:
    """Knows when somebody was last served."""

    def __init__(self) -> None:
        self._last = 0.0

    def serving(self) -> None:
        """A reply is being worked on right now."""
        self._last = time.monotonic()

    async def quiet(self) -> None:
        """Wait until nobody has been served for `QUIET_S`, but not for longer than `PATIENCE_S`."""
        deadline = time.monotonic() + PATIENCE_S
        while (now := time.monotonic()) < min(self._last + QUIET_S, deadline):
            await asyncio.sleep(min(self._last + QUIET_S, deadline) - now)


class CourteousEngine(EngineAround):
    """An engine for the update stage: each step waits for a quiet moment; its tokens are counted."""

    def __init__(self, inner: Engine, courtesy: Courtesy) -> None:
        super().__init__(inner)
        self._courtesy = courtesy
        self.prompt_tokens = self.cached_tokens = self.completion_tokens = 0

    async def stream(self, conversation: Conversation, sampling: Sampling) -> AsyncGenerator[Chunk, None]:
        """The inner engine's, a little later."""
        await self._courtesy.quiet()
        async with aclosing(self._inner.stream(conversation, sampling)) as chunks:
            async for chunk in chunks:
                self.prompt_tokens += chunk.prompt_tokens
                self.cached_tokens += chunk.cached_tokens
                self.completion_tokens += chunk.completion_tokens
                yield chunk
