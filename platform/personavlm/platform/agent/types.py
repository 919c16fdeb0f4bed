"""What goes into a trajectory of the agent and what comes out."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from typing import Literal, Protocol

from personavlm.memory_store.queries import Context, SearchRequest, SearchResult, Window
from personavlm.memory_store.records import ImageRef, UserKey
from personavlm.platform.engines.base import Conversation


class Memory(Protocol):
    """What the agent needs of a user's memory: the home actor when serving, a snapshot in rollouts."""

    async def context(self, user: UserKey, now: datetime) -> Context: ...

    async def search(self, user: UserKey, request: SearchRequest) -> SearchResult: ...

    async def image(self, user: UserKey, sha256: str) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Message:
    """The user's new message. ``now`` carries the user's UTC offset; prompts show that local time.

    ``instructions`` is the caller's system message: passed on, below the platform's own rules. ``adapter``
    names the LoRA adapter that answers, if any.
    """

    user: UserKey
    text: str
    now: datetime
    images: tuple[ImageRef, ...] = ()
    instructions: str = ""
    adapter: str = ""

    def __post_init__(self) -> None:
        if self.now.tzinfo is None:
            raise ValueError("a message's time must carry the user's UTC offset")

    @property
    def zone(self) -> tzinfo:
        """The user's local time."""
        return self.now.tzinfo or UTC


@dataclass(frozen=True, slots=True)
class StepTrace:
    """One step: a retrieval and what it brought, or the answer."""

    action: Literal["retrieve", "answer"]
    thinking: str
    keywords: str = ""
    window: Window = Window()
    found: tuple[str, ...] = ()
    outside_window: tuple[str, ...] = ()
    widened: tuple[str, ...] = ()
    repaired: str = ""
    engine_ms: float = 0.0
    search_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class ThinkingDelta:
    text: str


@dataclass(frozen=True, slots=True)
class AnswerDelta:
    text: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of a trajectory. ``answer`` is never empty. Tokens are those of all its steps."""

    answer: str
    thinking: str
    steps: tuple[StepTrace, ...]
    conversation: Conversation
    prompt_tokens: int = 0
    completion_tokens: int = 0
    context_ms: float = 0.0
    omitted_turns: int = field(default=0)
    cached_tokens: int = 0


Event = ThinkingDelta | AnswerDelta | StepTrace | Outcome
