"""An engine that keeps what another was asked by the update stage, and answered: to learn from."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from personavlm.platform.engines.around import EngineAround
from personavlm.platform.engines.base import Chunk, Conversation, Engine, Sampling, Segment
from personavlm.platform.prompts.render import read_task

UPDATE_TASKS = ("personality", "semantic", "episodic", "procedural", "core")


@dataclass(frozen=True, slots=True)
class Exchange:
    """The segments that an engine was given, with its answer as the last."""

    segments: tuple[Segment, ...]


class Recorder(EngineAround):
    """Passes everything on to the inner engine."""

    def __init__(self, inner: Engine) -> None:
        super().__init__(inner)
        self._exchanges: list[Exchange] = []

    async def stream(self, conversation: Conversation, sampling: Sampling) -> AsyncGenerator[Chunk, None]:
        """The inner engine's."""
        before, text = tuple(conversation.segments), ""
        async with aclosing(self._inner.stream(conversation, sampling)) as chunks:
            async for chunk in chunks:
                text += chunk.text
                yield chunk
        if read_task(before[0].text) not in UPDATE_TASKS:
            return
        if len(before) == 1:
            self._exchanges.append(Exchange((*before, Segment("assistant", text))))
        elif self._exchanges:  # what was malformed is asked for again: nothing to learn from
            self._exchanges.pop()

    def taken(self) -> list[Exchange]:
        """What was recorded since the last call."""
        taken, self._exchanges = self._exchanges, []
        return taken
