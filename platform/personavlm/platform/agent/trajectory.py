"""One message on its way to an answer."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from personavlm.memory_store.queries import Context, SearchResult
from personavlm.platform.agent.grammar import Step
from personavlm.platform.agent.types import Message, Outcome, StepTrace
from personavlm.platform.engines.base import Chunk, Conversation


@dataclass(slots=True)
class Trajectory:
    """What has happened so far.

    ``context`` and ``found`` are what the newest segments show: the session, or the result of a search.
    ``seen`` are the ids of turns and memories that the engine was shown. ``dropped`` says what had to be left
    out for the conversation to fit into the engine's context.
    """

    message: Message
    conversation: Conversation
    retrievals_left: int
    seen: set[str]
    context: Context
    context_ms: float
    found: SearchResult | None = None
    dropped: str = ""
    answer: str = ""
    engine_ms: float = 0.0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    steps: list[Step] = field(default_factory=list)
    traces: list[StepTrace] = field(default_factory=list)

    @property
    def forced(self) -> bool:
        """Whether the next step must be the answer."""
        return self.retrievals_left <= 0

    @property
    def malformed(self) -> bool:
        """Whether the engine has failed to write an action before: searching again would bring nothing."""
        return any(step.malformed for step in self.steps)

    def count(self, chunk: Chunk) -> None:
        """Add up what the engine reports."""
        self.prompt_tokens += chunk.prompt_tokens
        self.completion_tokens += chunk.completion_tokens
        self.cached_tokens += chunk.cached_tokens

    def trace(self, trace: StepTrace) -> StepTrace:
        """Complete the trace of the last step and keep it."""
        repaired = "; ".join(filter(None, (self.dropped, self.steps[-1].repaired, trace.repaired)))
        self.dropped = ""
        self.traces.append(replace(trace, repaired=repaired, engine_ms=self.engine_ms))
        return self.traces[-1]

    def outcome(self) -> Outcome:
        """The finished trajectory."""
        return Outcome(
            self.answer,
            "\n\n".join(step.thinking for step in self.steps if step.thinking),
            tuple(self.traces),
            self.conversation,
            self.prompt_tokens,
            self.completion_tokens,
            self.context_ms,
            self.context.omitted_turns,
            self.cached_tokens,
        )
