"""What tests of the agent share: a memory that holds a handful of rows, and a run to its end."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from personavlm.memory_store.queries import Context, Hit, SearchRequest, SearchResult
from personavlm.memory_store.records import (
    ImageRef,
    SemanticMemory,
    Turn,
    UserKey,
)
from personavlm.platform.agent.loop import Agent
from personavlm.platform.agent.types import AnswerDelta, Event, Message, Outcome, StepTrace

USER = UserKey("acme", "ana")
ZONE = timezone(timedelta(hours=2))
NOW = datetime(2026, 5, 20, 14, 5, tzinfo=ZONE)
MAY_17 = datetime(2026, 5, 17, 7, 30, tzinfo=UTC)
CUP, CAT = (
    ImageRef(name * 32, "image/png", 8, 8, caption) for name, caption in (("ab", ""), ("cd", "a cat"))
)


TIMES: dict[str, Any] = {"event_time": MAY_17, "revised_at": MAY_17, "recorded_at": MAY_17}


def turn(id: str, text: str, *images: ImageRef) -> Turn:
    return Turn(id, 0, "t_1", MAY_17, MAY_17, text, "Noted.", images)


def semantic(id: str, text: str, *images: ImageRef, valid_to: datetime | None = None) -> SemanticMemory:
    return SemanticMemory(id=id, version=1, text=text, images=images, valid_to=valid_to, **TIMES)


@dataclass
class Shelf:
    """A memory in a list: every search takes what is left of it in order, two at a time."""

    context_: Context = field(default_factory=Context)
    turns: tuple[Turn, ...] = ()
    requests: list[SearchRequest] = field(default_factory=list)

    async def context(self, user: UserKey, now: datetime) -> Context:
        assert user == USER
        return self.context_

    async def search(self, user: UserKey, request: SearchRequest) -> SearchResult:
        assert user == USER
        self.requests.append(request)
        left = [turn for turn in self.turns if turn.id not in request.exclude]
        return SearchResult(turns=tuple(Hit(turn, "turn", 1.0) for turn in left[:2]))

    async def image(self, user: UserKey, sha256: str) -> bytes:
        return f"{user.user}/{sha256}".encode()


def think(action: str) -> str:
    return f"<think>so</think>{action}"


def look(keywords: str, **bounds: str) -> str:
    times = "".join(f', "{name}": "{bound}"' for name, bound in bounds.items())
    return think(f'<retrieve>{{"keywords": "{keywords}"{times}}}</retrieve>')


async def run(
    agent: Agent, text: str = "What do I drink?", images: tuple[ImageRef, ...] = (), instructions: str = ""
) -> tuple[list[Event], Outcome]:
    events = [event async for event in agent.run(Message(USER, text, NOW, images, instructions))]
    outcome = events[-1]
    assert isinstance(outcome, Outcome)
    streamed = "".join(event.text for event in events if isinstance(event, AnswerDelta))
    assert outcome.answer == streamed
    assert outcome.steps == tuple(event for event in events if isinstance(event, StepTrace))
    return events, outcome
