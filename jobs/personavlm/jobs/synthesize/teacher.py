"""The engine of the world without a model: it knows a life, and answers each prompt from what it shows."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

from personavlm.jobs.synthesize.asks import Ask
from personavlm.jobs.synthesize.life import LifeTurn
from personavlm.jobs.synthesize.memory_targets import by_minute, memory_target
from personavlm.jobs.synthesize.reply_targets import reply_target
from personavlm.platform.engines.base import Chunk, Conversation, Sampling
from personavlm.platform.engines.pieces import pieces
from personavlm.platform.errors import EngineError
from personavlm.platform.prompts.render import read_rows, read_task


class Teacher:
    """Answers the prompts of one life. ``asked`` is the question at hand, if a question is."""

    model = "world"
    version = ""
    description = "Knows an invented life and its right answers; no language model."

    def __init__(self, turns: Sequence[LifeTurn]) -> None:
        self._turns = by_minute(turns)
        self.asked: Ask | None = None

    async def stream(self, conversation: Conversation, sampling: Sampling) -> AsyncGenerator[Chunk, None]:
        """The target of the prompt's task. Raises `EngineError` for a message that is no question."""
        prompt = next(segment.text for segment in conversation.segments if segment.role == "user")
        for chunk in pieces(self._target(prompt, conversation), conversation, sampling):
            yield chunk

    def _target(self, prompt: str, conversation: Conversation) -> str:
        task = read_task(prompt)
        if task != "reply":
            return memory_target(task, read_rows(prompt), self._turns)
        if self.asked is not None:
            return reply_target(self.asked, conversation.segments)
        message = read_rows(prompt)["message"][0]
        turn = self._turns.get(message["time"][:16])
        if turn is None:
            raise EngineError(f"nobody says anything at {message['time']}")
        thought = "The user tells me something new; no lookup is needed."
        return f"<think>{thought}</think><answer>{turn.assistant_text}</answer>"

    async def check_health(self) -> None:
        """Nothing that could break."""

    async def close(self) -> None:
        """Nothing to release."""
