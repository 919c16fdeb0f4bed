"""What the store keeps: one user's turns, memories and profile, every version of each.

Three clocks run through these records, all UTC with microseconds:

* ``event_time``: when the thing happened on the user's timeline. Windows filter by it.
* ``revised_at``: the moment *on the timeline* at which this version became known (the time of the
  turn that caused it). As-of reads along the timeline use it.
* ``recorded_at``: when the store wrote the row. As-of reads of "what had we stored by then" use it.

For a live user the three agree to within seconds; for an imported history they do not.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Literal, NamedTuple


class MemoryKind(StrEnum):
    """The four kinds of memory of PersonaVLM."""

    CORE = "core"
    SEMANTIC = "semantic"
    EPISODIC = "episodic"
    PROCEDURAL = "procedural"


TRAITS = ("openness", "conscientiousness", "extraversion", "agreeableness", "neuroticism")
NEUTRAL = 3.0  # the middle of the 1.0-5.0 scale on which each trait lives


class UserKey(NamedTuple):
    """Whose data. Comes from the credential; no call of the store works without one."""

    tenant: str
    user: str


@dataclass(frozen=True, slots=True)
class ImageRef:
    """An image by content: ``sha256`` of its bytes names the file in the media store."""

    sha256: str
    media_type: str
    width: int
    height: int
    caption: str = ""


@dataclass(frozen=True, slots=True)
class Crop:
    """A memory's image that is the ``box`` (left, top, right, bottom, turned upright) of ``source``."""

    sha256: str
    source: str
    box: tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class MediaRef:
    """A video or a recording by content, beside a turn's words. No engine is shown it: the turn's images hold
    frames of a video, its words what a recording says. ``seconds`` is 0 where it is not known."""

    sha256: str
    media_type: str
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Turn:
    """One exchange: what the user said and what the assistant replied. Never changed once written.

    ``index`` counts a user's turns in the order in which they were stored, from 0. ``session`` is the
    id of the session's first turn. ``utc_offset_minutes`` is the user's local time at the turn.
    Either text may be empty (an imported history may open with the assistant), never both, unless
    images stand in for the user's words.
    """

    id: str
    index: int
    session: str
    event_time: datetime
    recorded_at: datetime
    user_text: str
    assistant_text: str
    images: tuple[ImageRef, ...] = ()
    thinking: str = ""
    model: str = ""
    client_id: str = ""
    utc_offset_minutes: int = 0
    attachments: tuple[MediaRef, ...] = ()


@dataclass(frozen=True, slots=True)
class TurnDraft:
    """A turn before the store gave it an id, an index and a session.

    ``event_time`` ``None`` means now. ``client_id``, where given, makes the append idempotent: the same
    id again returns the stored turn. ``allow_past`` admits a turn older than the user's newest.
    ``last_erasure`` is that of the ``Context`` from which the reply was written: where the user was erased
    since, the turn is refused. ``None``: it was written from none.
    """

    user_text: str
    assistant_text: str
    event_time: datetime | None = None
    images: tuple[ImageRef, ...] = ()
    thinking: str = ""
    model: str = ""
    client_id: str = ""
    utc_offset_minutes: int = 0
    allow_past: bool = False
    last_erasure: int | None = None
    attachments: tuple[MediaRef, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """One version of one memory.

    ``[event_time, valid_to)`` is the validity interval; an open end means that it still holds.
    ``superseded_by`` names the memory that took its place. ``deleted`` marks the version that removed
    it. ``source`` is the step that wrote it ("turn:<id>" or "session:<id>") and makes writes idempotent.
    """

    id: str
    version: int
    text: str
    event_time: datetime
    revised_at: datetime
    recorded_at: datetime
    valid_to: datetime | None = None
    superseded_by: str = ""
    deleted: bool = False
    evidence: tuple[str, ...] = ()
    reason: str = ""
    source: str = ""

    @property
    def kind(self) -> MemoryKind:
        raise TypeError("Memory is abstract: use one of its four kinds")


@dataclass(frozen=True, slots=True, kw_only=True)
class CoreMemory(Memory):
    """A fact that is always in the prompt: ``key`` is unique within the user ("name", "style")."""

    block: Literal["human", "persona"] = "human"
    key: str = ""

    @property
    def kind(self) -> MemoryKind:
        return MemoryKind.CORE


SemanticCategory = Literal["directive", "fact", "preference", "concept"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SemanticMemory(Memory):
    """A fact that stands without its occasion; a *concept* is one that an image shows. ``images`` are whole
    images of its turns, or what was cut out of them: ``crops`` says out of which."""

    category: SemanticCategory = "fact"
    keywords: tuple[str, ...] = ()
    images: tuple[ImageRef, ...] = ()
    crops: tuple[Crop, ...] = ()

    @property
    def kind(self) -> MemoryKind:
        return MemoryKind.SEMANTIC


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodicMemory(Memory):
    """A topic of one session: ``text`` summarises, ``evidence`` lists its turns in order.

    It spans ``[event_time, end_time]``.
    """

    keywords: tuple[str, ...] = ()
    session: str = ""
    end_time: datetime

    @property
    def kind(self) -> MemoryKind:
        return MemoryKind.EPISODIC


@dataclass(frozen=True, slots=True, kw_only=True)
class ProceduralMemory(Memory):
    """A long-term goal, habit or routine, in one third-person sentence; ``key`` is unique."""

    key: str = ""

    @property
    def kind(self) -> MemoryKind:
        return MemoryKind.PROCEDURAL


AnyMemory = CoreMemory | SemanticMemory | EpisodicMemory | ProceduralMemory


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One version of the Big Five profile: five floats in [1, 5] in the order of ``TRAITS``.

    ``inferred`` are the scores that PEM read from the turn ``evidence`` (empty for reset and consent
    changes), ``smoothing`` the λ with which they were blended.
    """

    version: int
    traits: tuple[float, float, float, float, float] = (NEUTRAL,) * 5
    consent: bool = True
    cause: Literal["start", "inferred", "reset", "consent"] = "start"
    inferred: tuple[int, ...] = ()
    smoothing: float = 0.0
    evidence: tuple[str, ...] = ()
    source: str = ""
    event_time: datetime
    recorded_at: datetime


@dataclass(frozen=True, slots=True)
class Add:
    """Create a memory. ``key`` for core and procedural; ``category``, ``images``, ``crops`` for semantic;
    ``session``, ``end_time`` for episodic. ``supersedes`` closes the interval of an older one."""

    text: str
    event_time: datetime
    evidence: tuple[str, ...]
    reason: str = ""
    key: str = ""
    block: Literal["human", "persona"] = "human"
    category: SemanticCategory = "fact"
    keywords: tuple[str, ...] = ()
    images: tuple[ImageRef, ...] = ()
    session: str = ""
    end_time: datetime | None = None
    supersedes: str = ""
    crops: tuple[Crop, ...] = ()


@dataclass(frozen=True, slots=True)
class Update:
    """Write a new version of memory ``id`` with other text."""

    id: str
    text: str
    event_time: datetime
    evidence: tuple[str, ...]
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Delete:
    """End memory ``id`` with a last, deleted version. Its history stays readable."""

    id: str
    event_time: datetime
    reason: str
    evidence: tuple[str, ...] = ()


Operation = Add | Update | Delete


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodeLink:
    """Two episodes of one user that belong to one thread, beyond the paper. ``related`` is the older one.

    ``shared`` is the evidence: the names or words that both speak of; ``score`` in (0, 1] says how much.
    ``source`` is the step that made it.
    """

    episode: str
    related: str
    shared: tuple[str, ...]
    score: float
    source: str
    event_time: datetime
    recorded_at: datetime

    def other_end(self, episode: str) -> str:
        """The episode that this one is linked with."""
        return self.related if episode == self.episode else self.episode


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the update stage has come for one user, stored with the data.

    Turns with ``index`` below ``turns`` went through the per-turn steps, those below ``consolidated``
    through the steps of their closed session as well.
    """

    turns: int = 0
    consolidated: int = 0
