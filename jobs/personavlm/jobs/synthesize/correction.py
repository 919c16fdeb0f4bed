"""Self-correction: a model is told what is wrong with its answer, and writes it again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from personavlm.platform.engines.base import Conversation, Engine, Sampling, Segment, complete

Problems = Callable[[Sequence[Segment]], Iterable[str]]
AGAIN = (
    "Your last message cannot be kept: {problems}. Write it again in the same form, true to what you were "
    "shown and to nothing else. Write only the message."
)


class Corrector:
    """Has replies written again that break a rule, at most ``attempts`` times. Without an engine, never."""

    def __init__(self, engine: Engine | None, attempts: int) -> None:
        self._engine, self._attempts = engine, attempts if engine else 0
        self.corrected = 0

    async def corrected_reply(
        self, segments: Sequence[Segment], problems: Problems
    ) -> tuple[Segment, ...] | None:
        """The conversation with a last message that breaks no rule; ``None`` where there is none.

        What was wrong, and that it was said, is no part of it. Raises `EngineError`.
        """
        current = tuple(segments)
        for _ in range(self._attempts):
            found = list(problems(current))
            if not found:
                return current
            current = (*current[:-1], await self._again(current, found))
            self.corrected += 1
        return None if list(problems(current)) else current

    async def _again(self, segments: Sequence[Segment], found: Sequence[str]) -> Segment:
        assert self._engine is not None
        told = Segment("user", AGAIN.format(problems="; ".join(found)))
        completion = await complete(self._engine, Conversation([*segments, told]), Sampling())
        return Segment("assistant", completion.text)
