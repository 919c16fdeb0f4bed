"""What travels between the replicas: a message to answer, and what comes back of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from personavlm.deployments.origins import Origin
from personavlm.memory_store import AnyMemory, ImageRef, MediaRef, Turn, UserKey
from personavlm.platform.agent.types import AnswerDelta, StepTrace, ThinkingDelta
from personavlm.platform.engines.base import Completion, Sampling, Segment, TokenSpan


@dataclass(frozen=True, slots=True)
class Found:
    """A memory or turn that a trajectory found, with the raw turns behind it."""

    item: AnyMemory | Turn
    kind: str
    turns: tuple[Turn, ...]


@dataclass(frozen=True, slots=True)
class ChatJob:
    """One message to answer. ``now`` is set when the client states it; ``client_id`` is unique.

    Without ``stream`` nothing is sent before the end. ``deadline`` is in seconds since 1970.
    """

    user: UserKey
    client_id: str
    origin: Origin
    text: str
    images: tuple[ImageRef, ...]
    attachments: tuple[MediaRef, ...]
    instructions: str
    now: datetime | None
    allow_past: bool
    remember: bool
    trace: bool
    stream: bool
    deadline: float
    adapter: str = ""


@dataclass(frozen=True, slots=True)
class EngineJob:
    """One step of the update stage for the engine in a policy replica. ``tokens`` is a conversation's."""

    user: UserKey
    segments: tuple[Segment, ...]
    tokens: tuple[TokenSpan, ...]
    rendered: int
    sampling: Sampling


@dataclass(frozen=True, slots=True)
class EngineResult:
    """What the engine said, and the ids since the conversation's last."""

    completion: Completion
    tokens: tuple[TokenSpan, ...]


@dataclass(frozen=True, slots=True)
class Served:
    """What a policy replica says of itself: its model as clients name it, the version, what it is.

    ``adapters`` are further names that clients may ask for, each with the tenants who may; none means all.
    """

    model: str
    version: str
    description: str
    replica: str
    adapters: Mapping[str, frozenset[str]]

    def models(self, tenant: str) -> tuple[str, ...]:
        """The names that a tenant may ask for, the model's own first."""
        allowed = (name for name, tenants in self.adapters.items() if not tenants or tenant in tenants)
        return (self.model, *allowed)


@dataclass(frozen=True, slots=True)
class Done:
    """The reply is complete and, unless the client asked otherwise, its turn is durable."""

    turn_id: str | None
    answer: str
    thinking: str
    steps: tuple[StepTrace, ...]
    found: tuple[Found, ...]
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    omitted_turns: int
    timings_ms: dict[str, float]
    served: Served


@dataclass(frozen=True, slots=True)
class Failure:
    """The reply ended with an error. It travels as a value: exceptions do not cross replicas whole."""

    message: str
    status: int
    param: str | None
    code: str


Event = ThinkingDelta | AnswerDelta | Done | Failure


def joined(events: Sequence[Event]) -> list[Event]:
    """The same events, neighbouring pieces of one text as one: each costs time on the way to the client."""
    found: list[Event] = []
    for event in events:
        last = found[-1] if found else None
        if isinstance(event, AnswerDelta) and isinstance(last, AnswerDelta):
            found[-1] = AnswerDelta(last.text + event.text)
        elif isinstance(event, ThinkingDelta) and isinstance(last, ThinkingDelta):
            found[-1] = ThinkingDelta(last.text + event.text)
        else:
            found.append(event)
    return found
