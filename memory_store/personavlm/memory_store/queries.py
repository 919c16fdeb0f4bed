"""What is asked of the store and what it answers: windows, as-of reads, searches, the prompt's context."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from personavlm.memory_store.records import (
    AnyMemory,
    CoreMemory,
    EpisodeLink,
    EpisodicMemory,
    ImageRef,
    Profile,
    Turn,
)


@dataclass(frozen=True, slots=True)
class Window:
    """A closed interval of ``event_time``; ``None`` leaves that side open."""

    start: datetime | None = None
    end: datetime | None = None

    def __post_init__(self) -> None:
        if self.start and self.end and self.start > self.end:
            raise ValueError(f"the window starts at {self.start} after it ends at {self.end}")

    def overlaps(self, begin: datetime, finish: datetime) -> bool:
        """Whether ``[begin, finish]`` and the window share an instant."""
        return (self.end is None or begin <= self.end) and (self.start is None or finish >= self.start)


@dataclass(frozen=True, slots=True)
class AsOf:
    """Read what was known at ``time``, on one of two clocks.

    ``timeline`` asks what the user had said and done by then (rollouts, imported histories);
    ``recorded`` asks what the store held by then (audits).
    """

    time: datetime
    clock: Literal["timeline", "recorded"] = "timeline"


@dataclass(frozen=True, slots=True)
class SearchRequest:
    """One retrieval. ``keywords`` come from the policy, ``query`` is the user's own message.

    ``k_*`` are the most hits of each kind; ``exclude`` are ids that the trajectory has already seen
    (left out before ranking, so that a second search brings something new). ``image_sha256`` are the
    query's images; stored visual concepts near them are found. ``k_linked`` are the most episodes that
    come along because a link joins them to one that was found.
    """

    keywords: str
    query: str = ""
    window: Window = Window()
    image_sha256: tuple[str, ...] = ()
    exclude: frozenset[str] = frozenset()
    k_episodic: int = 2
    k_semantic: int = 4
    k_procedural: int = 2
    k_visual: int = 2
    k_turns: int = 4
    k_linked: int = 1
    turns_token_budget: int = 1200
    as_of: AsOf | None = None


@dataclass(frozen=True, slots=True)
class Hit:
    """A memory or turn that was found. ``score`` compares within one kind only.

    ``link`` is there where an episode came along with a found one: its other end.
    """

    item: AnyMemory | Turn
    kind: Literal["semantic", "episodic", "procedural", "visual", "turn"]
    score: float
    outside_window: bool = False
    link: EpisodeLink | None = None


@dataclass(frozen=True, slots=True)
class SearchResult:
    """Hits in chronological order within each kind.

    ``turns`` holds raw turns: those of the found episodes under the token budget, and those found by
    their own words; ``widened`` lists kinds whose window held fewer than k hits and was widened once.
    """

    semantic: tuple[Hit, ...] = ()
    episodic: tuple[Hit, ...] = ()
    procedural: tuple[Hit, ...] = ()
    visual: tuple[Hit, ...] = ()
    turns: tuple[Hit, ...] = ()
    widened: tuple[str, ...] = ()

    def ids(self) -> frozenset[str]:
        """Ids of everything in the result."""
        groups = (self.semantic, self.episodic, self.procedural, self.visual, self.turns)
        return frozenset(hit.item.id for group in groups for hit in group)


@dataclass(frozen=True, slots=True)
class Context:
    """What every first prompt starts from.

    ``open_session``: turns of the session that ``now`` still belongs to, oldest first, as many of the
    newest as the token budget holds; ``omitted_turns`` of it stay reachable by search.
    ``personality`` is ``None`` where the user withdrew consent. ``last_erasure`` goes into the ``TurnDraft``
    of the reply; it says nothing of the user.
    """

    core: tuple[CoreMemory, ...] = ()
    personality: Profile | None = None
    open_session: tuple[Turn, ...] = ()
    omitted_turns: int = 0
    turn_count: int = 0
    last_erasure: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class ThreadEntry:
    """An episode of a thread with its links to older ones of it, the strongest first."""

    episode: EpisodicMemory
    links: tuple[EpisodeLink, ...] = ()


@dataclass(frozen=True, slots=True)
class TimelineEntry:
    """One dated thing of a user: a turn or a memory, for lists in order of ``event_time``."""

    time: datetime
    kind: Literal["turn", "core", "semantic", "episodic", "procedural"]
    id: str
    text: str
    images: tuple[ImageRef, ...] = field(default=())
