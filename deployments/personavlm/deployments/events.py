"""What travels between the replicas: a message to answer, and what comes back of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from personavlm.memory_store import AnyMemory, ImageRef, Turn, UserKey
from personavlm.platform.agent.types import AnswerDelta, StepTrace, ThinkingDelta


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
    text: str
    images: tuple[ImageRef, ...]
    instructions: str
    now: datetime | None
    allow_past: bool
    remember: bool
    trace: bool
    stream: bool
    deadline: float


@dataclass(frozen=True, slots=True)
class Served:
    """What a policy replica says of itself: its model as clients name it, the version, what it is."""

    model: str
    version: str
    description: str
    replica: str


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
