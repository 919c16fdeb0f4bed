"""An engine that replays given completions: for tests and demonstrations of what surrounds an engine."""

from collections.abc import AsyncGenerator, Sequence

from personavlm.platform.engines.base import Chunk, Conversation, Sampling
from personavlm.platform.engines.pieces import pieces
from personavlm.platform.errors import EngineError


class ScriptedEngine:
    """Answers the n-th step of every conversation with the n-th completion."""

    model = "scripted"
    version = ""
    description = "Replays completions that were written beforehand; no language model."

    def __init__(self, completions: Sequence[str]) -> None:
        self._completions = tuple(completions)

    async def stream(self, conversation: Conversation, sampling: Sampling) -> AsyncGenerator[Chunk, None]:
        """Replay. Raises `EngineError` where the script has ended."""
        step = sum(segment.role == "assistant" for segment in conversation.segments)
        if step >= len(self._completions):
            raise EngineError(f"the script has no completion for step {step + 1}")
        for chunk in pieces(self._completions[step], conversation, sampling):
            yield chunk

    async def check_health(self) -> None:
        """Nothing that could break."""

    async def close(self) -> None:
        """Nothing to release."""
