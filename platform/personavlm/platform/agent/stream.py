"""Read a completion while it is being written, and pass on at once what is safe to pass on.

Thinking and answer come out as they arrive, without surrounding space and never a piece of a tag. A plain
text that has to serve as the answer comes out at the end, because only the end shows that no block follows.
"""

from __future__ import annotations

from datetime import UTC, tzinfo

from personavlm.platform.agent.grammar import Answer, Step, read_step
from personavlm.platform.agent.scanner import Scanner
from personavlm.platform.agent.types import AnswerDelta, ThinkingDelta

Delta = ThinkingDelta | AnswerDelta


class StepStream:
    """One completion in pieces. The arguments are those of `grammar.parse`.

    The answer deltas, joined, are the text of the step's answer; there are none if it retrieves.
    """

    def __init__(self, query: str = "", zone: tzinfo = UTC, *, accept_plain: bool = False) -> None:
        self._scanner = Scanner()
        self._query, self._zone, self._accept_plain = query, zone, accept_plain
        self._thinking_sent = self._answer_sent = 0

    def feed(self, text: str) -> tuple[Delta, ...]:
        """Read the next piece. After the first complete action nothing more is read."""
        self._scanner.feed(text)
        return self._news(self._scanner.answer)

    def finish(self) -> tuple[Step, tuple[Delta, ...]]:
        """The completion is over: the step, and what was still held back of it."""
        self._scanner.finish()
        step = read_step(self._scanner, self._query, self._zone, accept_plain=self._accept_plain)
        return step, self._news(step.action.text if isinstance(step.action, Answer) else "")

    @property
    def cut(self) -> int:
        """How many characters were read: up to the end of the first complete action."""
        return self._scanner.consumed

    def _news(self, answer: str) -> tuple[Delta, ...]:
        thinking, answer = self._scanner.thinking.strip(), answer.strip()
        deltas = (ThinkingDelta(thinking[self._thinking_sent :]), AnswerDelta(answer[self._answer_sent :]))
        self._thinking_sent, self._answer_sent = len(thinking), len(answer)
        return tuple(delta for delta in deltas if delta.text)
