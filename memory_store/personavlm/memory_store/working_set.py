"""One user's records in memory: turns, every version of every memory, profile and progress.

It is filled from the store on first use and told of every write once that is durable. Reads filter it;
"latest" and "as of" are reads. Of a very heavy user it only lists the older turns (``cold``), and reads them
from the table when they are asked for. Not thread-safe: the user's lock is held around it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta

import pyarrow as pa

from personavlm.memory_store.cold_turns import ColdTurns
from personavlm.memory_store.queries import AsOf
from personavlm.memory_store.records import (
    AnyMemory,
    CoreMemory,
    EpisodeLink,
    EpisodicMemory,
    MemoryKind,
    ProceduralMemory,
    Profile,
    Progress,
    SemanticMemory,
    Turn,
)
from personavlm.memory_store.storage.tables import NO_MEMORY, Row, record_of

ROW_BYTES = 1200
"""What a record takes in memory beside its longer texts: the object, its ids and times, the maps to it."""
MARK_BYTES = 300
LINK_BYTES = 900

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_TYPES: Mapping[
    MemoryKind, type[CoreMemory] | type[SemanticMemory] | type[EpisodicMemory] | type[ProceduralMemory]
] = {
    MemoryKind.CORE: CoreMemory,
    MemoryKind.SEMANTIC: SemanticMemory,
    MemoryKind.EPISODIC: EpisodicMemory,
    MemoryKind.PROCEDURAL: ProceduralMemory,
}


def memory_known(memory: AnyMemory, as_of: AsOf | None) -> bool:
    """Whether this version was known then."""
    if as_of is None:
        return True
    return (memory.revised_at if as_of.clock == "timeline" else memory.recorded_at) <= as_of.time


def event_known(event: Turn | Profile | EpisodeLink, as_of: AsOf | None) -> bool:
    """Whether it was known then: the timeline learns of turns, profiles and links as they happen."""
    if as_of is None:
        return True
    return (event.event_time if as_of.clock == "timeline" else event.recorded_at) <= as_of.time


class WorkingSet:
    """What the tables hold of one user. ``turns`` are all that are not ``cold``, in the order of writing."""

    def __init__(self, cold: ColdTurns | None = None) -> None:
        self.cold = cold or ColdTurns()
        self.turns: list[Turn] = []
        self.profiles: list[Profile] = []
        self.progress = Progress()
        self.next_progress = 0
        self.next_memory = dict.fromkeys(MemoryKind, 0)
        self._own_bytes = 0
        self.versions_log: list[AnyMemory] = []  # of all memories, as they were taken in
        self._memories: dict[MemoryKind, dict[str, list[AnyMemory]]] = {kind: {} for kind in MemoryKind}
        self._kinds: dict[str, MemoryKind] = {}
        self._written: dict[tuple[MemoryKind, str], list[AnyMemory]] = {}
        self._positions: dict[str, int] = {}
        self._turn_by_client_id: dict[str, Turn] = {}
        self._sessions: dict[str, list[Turn]] = {}
        self._links: dict[str, list[EpisodeLink]] = {}  # by either end
        self._links_of_source: dict[str, list[EpisodeLink]] = {}
        self._newest = self.cold.newest(None, None)
        self._last_recorded = self.cold.last_recorded or EPOCH

    @property
    def nbytes(self) -> int:
        """About how much memory it takes."""
        return self._own_bytes + self.cold.nbytes

    @property
    def next_index(self) -> int:
        """The index of the next turn. Erased turns leave gaps that are not filled again."""
        last = self.turns[-1].index + 1 if self.turns else self.cold.next_index
        return max(last, self.progress.turns, self.progress.consolidated)

    @property
    def next_version(self) -> int:
        """The version of the next profile."""
        return self.profiles[-1].version + 1 if self.profiles else 1

    # filling

    def load(
        self,
        turns: pa.Table,
        memories: Mapping[MemoryKind, pa.Table],
        profile: pa.Table,
        progress: pa.Table,
        links: pa.Table,
    ) -> None:
        """Take in this user's rows of all tables, in any order."""
        for row in _rows(turns, "index"):
            self.add_turn(record_of(Turn, row))
        for kind, table in memories.items():
            self.add_memory_rows(kind, _rows(table, "sequence"))
        for row in _rows(profile, "version"):
            self.add_profile(record_of(Profile, row))
        for row in _rows(progress, "sequence"):
            self.add_progress(record_of(Progress, row))
            self.next_progress = row["sequence"] + 1
        for row in _rows(links, "recorded_at"):
            self.add_link(record_of(EpisodeLink, row))

    def add_turn(self, turn: Turn) -> None:
        """Take in the next turn."""
        self._positions[turn.id] = len(self.turns)
        self.turns.append(turn)
        self._own_bytes += ROW_BYTES + len(turn.user_text) + len(turn.assistant_text) + len(turn.thinking)
        if turn.client_id:
            self._turn_by_client_id[turn.client_id] = turn
        self._sessions.setdefault(turn.session, []).append(turn)
        if self._newest is None or turn.event_time >= self._newest.event_time:
            self._newest = turn
        self._last_recorded = max(self._last_recorded, turn.recorded_at)

    def add_memory_rows(self, kind: MemoryKind, rows: Iterable[Row]) -> None:
        """Take in rows of one memory table, the marks of steps that wrote nothing among them."""
        for row in rows:
            self._written.setdefault((kind, row["source"]), [])
            self.next_memory[kind] = max(self.next_memory[kind], row["sequence"] + 1)
            self._own_bytes += MARK_BYTES
            if row["id"] != NO_MEMORY:
                self._add_memory(record_of(_TYPES[kind], row))

    def add_memories(self, kind: MemoryKind, source: str, versions: Sequence[AnyMemory]) -> None:
        """Take in what one step wrote."""
        self._written.setdefault((kind, source), [])
        for memory in versions:
            self._add_memory(memory)
        self.next_memory[kind] += max(len(versions), 1)
        self._own_bytes += MARK_BYTES

    def add_profile(self, profile: Profile) -> None:
        """Take in the next version of the profile."""
        self.profiles.append(profile)
        self._own_bytes += ROW_BYTES
        self._last_recorded = max(self._last_recorded, profile.recorded_at)

    def add_progress(self, progress: Progress) -> None:
        """Take in how far the update stage got."""
        self.progress = progress
        self.next_progress += 1

    def add_link(self, link: EpisodeLink) -> None:
        """Take in a link between two episodes."""
        for end in (link.episode, link.related):
            self._links.setdefault(end, []).append(link)
        self._links_of_source.setdefault(link.source, []).append(link)
        self._own_bytes += LINK_BYTES
        self._last_recorded = max(self._last_recorded, link.recorded_at)

    def _add_memory(self, memory: AnyMemory) -> None:
        self._memories[memory.kind].setdefault(memory.id, []).append(memory)
        self._kinds[memory.id] = memory.kind
        self.versions_log.append(memory)
        self._written[memory.kind, memory.source].append(memory)
        self._own_bytes += ROW_BYTES + len(memory.text) + len(memory.reason)
        self._last_recorded = max(self._last_recorded, memory.recorded_at)

    # reading

    def not_before_last(self, now: datetime) -> datetime:
        """``now`` as ``recorded_at``: the store's clock may step back, the order of writing may not."""
        return max(now, self._last_recorded)

    def turn(self, id: str) -> Turn | None:
        """The turn with this id."""
        position = self._positions.get(id)
        return self.cold.turn(id) if position is None else self.turns[position]

    def position(self, turn: Turn) -> int:
        """Where the turn stands in ``turns``."""
        return self._positions[turn.id]

    def positions_of(self, ids: Iterable[str]) -> list[int]:
        """Where in ``turns`` those ids stand that are among them."""
        return [self._positions[id] for id in ids if id in self._positions]

    def profile_of_source(self, source: str) -> Profile | None:
        """The version that a step stored before."""
        return next((profile for profile in self.profiles if source and profile.source == source), None)

    def turn_of_client(self, client_id: str) -> Turn | None:
        """The turn that a client stored under its own id."""
        if not client_id:
            return None
        return self._turn_by_client_id.get(client_id) or self.cold.turn_of_client(client_id)

    def all_turns(
        self, session: str | None = None, first_index: int = 0, as_of: AsOf | None = None
    ) -> list[Turn]:
        """Turns known then from an index on in the order of writing, of one session or all."""
        turns = self.turns if session is None else self._sessions.get(session, ())
        hot = [turn for turn in turns if turn.index >= first_index and event_known(turn, as_of)]
        return [*self.cold.turns(session, first_index, as_of), *hot]

    def session(self, id: str) -> Sequence[Turn]:
        """Turns of one session in the order of writing."""
        return [*self.cold.turns(id), *self._sessions.get(id, ())]

    def turn_count(self, as_of: AsOf | None) -> int:
        """How many turns were known then."""
        return int(self.cold.known(as_of).sum()) + sum(event_known(turn, as_of) for turn in self.turns)

    def newest_turn(self, as_of: AsOf | None = None) -> Turn | None:
        """The turn with the latest ``event_time``, the one written last among equals."""
        if as_of is None:
            return self._newest
        known = (turn for turn in self.turns if event_known(turn, as_of))
        hot = max(known, key=lambda turn: (turn.event_time, turn.index), default=None)
        return self.cold.newest(as_of, hot.event_time if hot else None) or hot

    def session_for(self, event_time: datetime, gap: timedelta) -> str | None:
        """The session that a turn of this time falls into; None where it opens one of its own.

        That is the newest turn's session: for a later turn if less than ``gap`` has passed since, for an
        earlier one if the session had begun by then.
        """
        newest = self._newest
        if newest is None:
            return None
        if event_time >= newest.event_time:
            return newest.session if event_time - newest.event_time < gap else None
        times = [turn.event_time for turn in self._sessions.get(newest.session, ())]
        if begin := self.cold.begin(newest.session):
            times.append(begin)
        return newest.session if event_time >= min(times) else None

    def versions(self, id: str) -> Sequence[AnyMemory]:
        """All versions of one memory, oldest first."""
        kind = self._kinds.get(id)
        return self._memories[kind][id] if kind else ()

    def histories(self, kind: MemoryKind) -> Iterator[Sequence[AnyMemory]]:
        """The versions of each memory of one kind, in the order in which the memories were made."""
        yield from self._memories[kind].values()

    def memories(
        self, kind: MemoryKind, as_of: AsOf | None = None, *, include_ended: bool = False
    ) -> Iterator[AnyMemory]:
        """The last version of each memory, deleted ones left out, superseded ones unless asked for."""
        for versions in self.histories(kind):
            latest: AnyMemory | None = versions[-1]
            if as_of:
                known = (memory for memory in reversed(versions) if memory_known(memory, as_of))
                latest = next(known, None)
            if latest and not latest.deleted and (include_ended or latest.valid_to is None):
                yield latest

    def links(self, episode: str, as_of: AsOf | None = None) -> list[EpisodeLink]:
        """Links to and from an episode, the strongest first."""
        known = (link for link in self._links.get(episode, ()) if event_known(link, as_of))
        return sorted(known, key=lambda link: (-link.score, link.episode, link.related))

    def links_of_source(self, source: str) -> Sequence[EpisodeLink]:
        """The links that one step made."""
        return self._links_of_source.get(source, ())

    def written(self, kind: MemoryKind, source: str) -> Sequence[AnyMemory] | None:
        """What a step wrote, in order; None if it has not been applied."""
        return self._written.get((kind, source))


def _rows(table: pa.Table, order: str) -> list[Row]:
    return list(table.sort_by(order).to_pylist()) if table.num_rows else []
