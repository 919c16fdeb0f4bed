"""Shapes of what is read back: memories, turns, search results, the timeline, the profile."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel


class ImageView(BaseModel):
    """An image; its bytes are at `/v1/users/{user}/images/{sha256}`."""

    sha256: str
    media_type: str
    width: int
    height: int
    caption: str


class CropView(BaseModel):
    """An image of a memory was cut out of the image `source`, where `box` (left, top, right, bottom) says."""

    sha256: str
    source: str
    box: tuple[int, int, int, int]


class MediaView(BaseModel):
    """A video or a recording; its bytes are at `/v1/users/{user}/media/{sha256}`."""

    sha256: str
    media_type: str
    seconds: float


class MemoryView(BaseModel):
    """One version of one memory. The fields after `source` belong to some kinds only."""

    kind: Literal["core", "semantic", "episodic", "procedural"]
    id: str
    version: int
    text: str
    event_time: datetime
    revised_at: datetime
    recorded_at: datetime
    valid_to: datetime | None
    superseded_by: str
    deleted: bool
    evidence: list[str]
    reason: str
    source: str
    block: Literal["human", "persona"] = "human"
    key: str = ""
    category: Literal["directive", "fact", "preference", "concept"] = "fact"
    keywords: list[str] = []
    images: list[ImageView] = []
    crops: list[CropView] = []
    session: str = ""
    end_time: datetime | None = None


class TurnView(BaseModel):
    """A turn without the thoughts behind its reply."""

    kind: Literal["turn"]
    id: str
    index: int
    session: str
    event_time: datetime
    recorded_at: datetime
    user_text: str
    assistant_text: str
    images: list[ImageView]
    model: str
    client_id: str
    utc_offset_minutes: int
    attachments: list[MediaView] = []


class LinkView(BaseModel):
    """Two episodes of one thread, `related` being the older: both speak of what is `shared`."""

    episode: str
    related: str
    shared: list[str]
    score: float


class HitView(BaseModel):
    """Something found. Scores compare within one kind only.

    An episode with a `link` came along with the one at its other end.
    """

    score: float
    outside_window: bool
    item: TurnView | MemoryView
    link: LinkView | None = None


class MemoryList(BaseModel):
    data: list[MemoryView]


class ThreadEpisode(BaseModel):
    """An episode, and its links to older ones of the thread."""

    episode: MemoryView
    links: list[LinkView]


class ThreadView(BaseModel):
    """Episodes of one thread, oldest first."""

    data: list[ThreadEpisode]


class SearchView(BaseModel):
    """Hits in chronological order within each kind; `widened` kinds held too little in the window."""

    semantic: list[HitView]
    episodic: list[HitView]
    procedural: list[HitView]
    visual: list[HitView]
    turns: list[HitView]
    widened: list[str]


class Deleted(BaseModel):
    id: str
    deleted: Literal[True]


class TimelineItem(BaseModel):
    time: datetime
    kind: Literal["turn", "core", "semantic", "episodic", "procedural"]
    id: str
    text: str
    images: list[ImageView]


class Timeline(BaseModel):
    data: list[TimelineItem]


class ProfileVersion(BaseModel):
    version: int
    event_time: datetime
    cause: Literal["start", "inferred", "reset", "consent"]
    traits: dict[str, float]
    evidence: list[str]


class ProfileView(BaseModel):
    """Traits from 1 to 5, where 3 is neutral, in numbers and words, and how they came to be."""

    version: int
    traits: dict[str, float]
    descriptors: list[str]
    consent: bool
    history: list[ProfileVersion]
