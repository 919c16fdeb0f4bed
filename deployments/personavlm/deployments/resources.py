"""Bodies of the resources beside chat: recorded turns, sessions, core facts, search, consent."""

from __future__ import annotations

from typing import Annotated

from pydantic import AwareDatetime, BaseModel, Field

from personavlm.deployments.api import Body, UserId

Key = Annotated[str, Field(min_length=1, max_length=100)]
Fact = Annotated[str, Field(min_length=1, max_length=2000)]


class ImageInput(Body):
    url: str
    caption: Annotated[str, Field(max_length=500)] = ""


class TurnInput(Body):
    """A recorded turn to import."""

    client_id: str = Field(min_length=1, max_length=200)
    event_time: AwareDatetime
    user_text: Annotated[str, Field(max_length=100_000)] = ""
    assistant_text: Annotated[str, Field(max_length=100_000)] = ""
    images: list[str | ImageInput] = Field(default=[], max_length=16)


class TurnsRequest(Body):
    """`POST /v1/turns`."""

    user: UserId
    turns: list[TurnInput] = Field(min_length=1, max_length=200)
    allow_past: bool = False


class TurnsReply(BaseModel):
    stored: int
    already_stored: int
    turn_ids: list[str]


class CloseRequest(Body):
    now: AwareDatetime


class CloseReply(BaseModel):
    closed: list[str]
    pending_turns: int


class MemorySearch(Body):
    """`POST /v1/users/{user}/memories/search`."""

    keywords: str = Field("", max_length=2000)
    query: str = Field("", max_length=4000)
    start_time: AwareDatetime | None = None
    end_time: AwareDatetime | None = None


class CoreRequest(Body):
    """`PUT /v1/users/{user}/core`: facts that are known before the first turn, or better known elsewhere."""

    facts: dict[
        Annotated[str, Field(min_length=1, max_length=100)],
        Annotated[str, Field(min_length=1, max_length=2000)],
    ] = Field(min_length=1, max_length=100)
    event_time: AwareDatetime


class ConsentRequest(Body):
    consent: bool
