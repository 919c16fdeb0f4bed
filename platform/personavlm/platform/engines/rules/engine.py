"""The engine without a language model: patterns over the same prompts, in the same grammar.

It understands plain English questions about what the user said, resolves dates, quotes memories, and extracts
statements with patterns. It does not reason, does not see images and knows nothing of the world: a product
for those who download nothing, and a baseline for those who do.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable

from personavlm.platform.engines.base import Chunk, Conversation, Sampling
from personavlm.platform.engines.pieces import pieces
from personavlm.platform.engines.rules import core, episodic, personality, procedural, reply, semantic
from personavlm.platform.engines.rules.dates import warm_up
from personavlm.platform.errors import EngineError
from personavlm.platform.prompts.render import read_task

Handler = Callable[[Conversation], str]
_HANDLERS: dict[str, Handler] = {
    "reply": reply.respond,
    "personality": personality.respond,
    "semantic": semantic.respond,
    "episodic": episodic.respond,
    "procedural": procedural.respond,
    "core": core.respond,
}


class RulesEngine:
    """Answers each task with its rules. Keeps nothing between two calls."""

    model = "rules"
    version = ""
    description = "Rules without a language model: recalls and quotes what you said; does not reason or see."

    def __init__(self) -> None:
        warm_up()

    async def stream(self, conversation: Conversation, sampling: Sampling) -> AsyncGenerator[Chunk, None]:
        """The text of the task's rules, word by word. Raises `EngineError` for a task without rules."""
        prompt = next(segment.text for segment in conversation.segments if segment.role == "user")
        handler = _HANDLERS.get(read_task(prompt))
        if handler is None:
            raise EngineError(f"there are no rules for the task {read_task(prompt)!r}")
        text = await asyncio.to_thread(handler, conversation)
        for chunk in pieces(text, conversation, sampling):
            yield chunk

    async def check_health(self) -> None:
        """Nothing that could break."""

    async def close(self) -> None:
        """Nothing to release."""
