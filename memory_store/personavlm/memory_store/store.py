"""``MemoryStore``: turns, memories, profile and media of many users, in one shard.

Threads may share a store; one process at a time may have it open. A write returns once it is durable, and
every read after it sees it.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Self

from personavlm.memory_store.admission import Admission
from personavlm.memory_store.cache import UserCache
from personavlm.memory_store.context import context_of, profile_of, timeline_of
from personavlm.memory_store.encoder import ImageEncoder, TextEncoder
from personavlm.memory_store.errors import InvalidError, NotFoundError, StoreError
from personavlm.memory_store.lifecycle.eraser import Eraser
from personavlm.memory_store.lifecycle.linker import Linker
from personavlm.memory_store.lifecycle.stats import StoreStats
from personavlm.memory_store.operations import Step
from personavlm.memory_store.queries import AsOf, Context, SearchRequest, SearchResult, TimelineEntry, Window
from personavlm.memory_store.records import (
    Add,
    AnyMemory,
    ImageRef,
    MemoryKind,
    Operation,
    Profile,
    Progress,
    Turn,
    TurnDraft,
    UserKey,
)
from personavlm.memory_store.retrieval.retriever import Retriever
from personavlm.memory_store.storage.shard import Shard, StorageSettings
from personavlm.memory_store.storage.tables import Row, memory_rows, row_of, uid_of
from personavlm.memory_store.times import utc, utc_as_of, utc_now, utc_window
from personavlm.memory_store.turns import take_in
from personavlm.memory_store.working_set import event_known

SESSION_GAP = timedelta(minutes=60)
CACHE_MB = 512.0  # of all users, at about 6 kB a turn with its vectors


class MemoryStore:
    """Everything that the platform remembers. There is no call that reads without a ``UserKey``."""

    def __init__(
        self,
        shard: Shard,
        session_gap: timedelta,
        clock: Callable[[], datetime],
        cache_mb: float,
        at_home: Callable[[UserKey], None],
    ) -> None:
        self._shard = shard
        self._session_gap = session_gap
        self._clock = clock
        admission = Admission(at_home)
        self._cache = UserCache(shard.load, int(cache_mb * 2**20), admission.require)
        self._retriever = Retriever(shard, self._cache)
        self.eraser = Eraser(shard, self._cache, admission, clock)
        self.linker = Linker(shard, self._cache, self._retriever, clock)

    @classmethod
    def open(
        cls,
        uri: str | Path,
        *,
        text_encoder: TextEncoder,
        image_encoder: ImageEncoder,
        session_gap: timedelta = SESSION_GAP,
        clock: Callable[[], datetime] = utc_now,
        cache_mb: float = CACHE_MB,
        storage: StorageSettings = StorageSettings(),
        at_home: Callable[[UserKey], None] = lambda user: None,
    ) -> Self:
        """Open or create the store in a local folder or below ``s3://bucket/prefix``.

        What a crash left is repaired, and erasures that it interrupted are finished. ``cache_mb`` bounds the
        working sets in memory. ``at_home`` raises for users whose home is elsewhere. Errors: ``Shard.open``.
        """
        shard = Shard.open(uri, text_encoder, image_encoder, storage)
        store = cls(shard, session_gap, clock, cache_mb, at_home)
        store.eraser.resume()
        return store

    def close(self) -> None:
        """Move the journal into the tables and let another process open the store."""
        self._cache.clear()
        self._shard.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def evict(self) -> None:
        """Forget every working set; the next call for a user loads it again."""
        self._cache.clear()

    def barrier(self) -> None:
        """Return once every call has ended that ``at_home`` admitted before."""
        self._cache.barrier()

    # turns

    def append_turn(self, user: UserKey, draft: TurnDraft) -> Turn:
        """Store a turn; it outlives this process once the call has returned.

        A turn joins the session of the newest turn unless ``session_gap`` has passed since. One without
        an ``event_time`` happens now, never before the newest. OutOfOrderError for an ``event_time`` before
        that without ``allow_past``; InvalidError for a turn without content or with an image that was
        never stored; ValueError for a naive time.
        """
        return self.append_turns(user, [draft])[0][0]

    def append_turns(self, user: UserKey, drafts: Sequence[TurnDraft]) -> tuple[tuple[Turn, ...], int]:
        """Store turns in one commit, all or none; the turn of each draft, and how many are new."""
        with self._cache.hold(user) as state:
            now = utc(self._clock())
            try:
                turns, new = take_in(drafts, user, state.records, self._shard.media, self._session_gap, now)
                if new:
                    self._shard.append(user, "turns", [row_of(user, turn) for turn in new])
            except BaseException:
                self._cache.forget(user)
                raise
            return turns, len(new)

    def append_each(self, items: Sequence[tuple[UserKey, TurnDraft]]) -> list[Turn | Exception]:
        """Store turns of many users with one flush of the disk; for each its turn, or what it raises."""
        new: list[tuple[UserKey, list[Row]]] = []
        with self._cache.hold_all([user for user, _ in items]) as states:
            now = utc(self._clock())
            found: list[Turn | Exception] = []
            try:
                for user, draft in items:
                    state = states[user]
                    if isinstance(state, StoreError):
                        found.append(state)
                        continue
                    try:
                        turns, added = take_in(
                            [draft], user, state.records, self._shard.media, self._session_gap, now
                        )
                    except (StoreError, ValueError) as error:
                        found.append(error)
                        continue
                    found.append(turns[0])
                    new += [(user, [row_of(user, turn)]) for turn in added]
                if new:
                    self._shard.append_all(new, "turns")
            except BaseException:
                for user, _ in items:
                    self._cache.forget(user)
                raise
            return found

    def turns(
        self, user: UserKey, *, session: str | None = None, first_index: int = 0, as_of: AsOf | None = None
    ) -> tuple[Turn, ...]:
        """Turns from ``first_index`` on in the order in which they were stored, of one session or all."""
        as_of = utc_as_of(as_of)
        with self._cache.hold(user) as state:
            turns = state.records.turns if session is None else state.records.session(session)
            return tuple(turn for turn in turns if turn.index >= first_index and event_known(turn, as_of))

    def turn(self, user: UserKey, id: str) -> Turn:
        """One turn. NotFoundError."""
        with self._cache.hold(user) as state:
            turn = state.records.turn(id)
        if turn is None:
            raise NotFoundError(f"no turn {id!r}")
        return turn

    def newest_turn(self, user: UserKey) -> Turn | None:
        """The turn with the latest ``event_time``."""
        with self._cache.hold(user) as state:
            return state.records.newest_turn()

    def context(
        self, user: UserKey, now: datetime, token_budget: int = 2000, *, as_of: AsOf | None = None
    ) -> Context:
        """Core memory, profile and the open session; tokens are estimated at four characters each."""
        now, as_of = utc(now), utc_as_of(as_of)
        with self._cache.hold(user) as state:
            return context_of(state.records, now, self._session_gap, token_budget, as_of)

    def search(self, user: UserKey, request: SearchRequest) -> SearchResult:
        """Find by the rules of ``search.py``. ValueError (naive time), NotFoundError (the query's image)."""
        request = replace(request, window=utc_window(request.window), as_of=utc_as_of(request.as_of))
        return self._retriever.search(user, request)

    # memories

    def memories(
        self,
        user: UserKey,
        kind: MemoryKind | None = None,
        *,
        as_of: AsOf | None = None,
        include_ended: bool = False,
    ) -> tuple[AnyMemory, ...]:
        """Latest versions, in order of making; without deleted ones, or superseded unless asked for."""
        as_of = utc_as_of(as_of)
        with self._cache.hold(user) as state:
            return tuple(
                memory
                for each in ([kind] if kind else MemoryKind)
                for memory in state.records.memories(each, as_of, include_ended=include_ended)
            )

    def memory(self, user: UserKey, id: str) -> AnyMemory:
        """The latest version of one memory. NotFoundError, also where it was deleted."""
        latest = self.history(user, id)[-1]
        if latest.deleted:
            raise NotFoundError(f"the memory {id!r} was deleted")
        return latest

    def history(self, user: UserKey, id: str) -> tuple[AnyMemory, ...]:
        """All versions of one memory, oldest first, a deletion among them. NotFoundError."""
        with self._cache.hold(user) as state:
            versions = tuple(state.records.versions(id))
        if not versions:
            raise NotFoundError(f"no memory {id!r}")
        return versions

    def apply(
        self, user: UserKey, kind: MemoryKind, source: str, operations: Sequence[Operation]
    ) -> tuple[AnyMemory, ...]:
        """Apply the operations of one step, all or none; the versions written, in order.

        A step that was applied before writes nothing and returns what it wrote then, be it nothing.
        InvalidError names an operation that cannot be applied; ValueError a naive time.
        """
        if not source:
            raise InvalidError("operations need a source: it makes them idempotent")
        with self._cache.hold(user) as state:
            written = state.records.written(kind, source)
            if written is not None:
                return tuple(written)
            now = state.records.not_before_last(utc(self._clock()))
            for operation in operations:
                self._shard.media.require(user, operation.images if isinstance(operation, Add) else ())
            versions = Step(state.records, uid_of(user), kind, source, now).plan(operations)
            self._commit(user, kind, memory_rows(user, source, versions, state.records.next_memory[kind]))
            state.records.add_memories(kind, source, versions)
            return versions

    def applied(self, user: UserKey, kind: MemoryKind, source: str) -> bool:
        """Whether this step was applied."""
        with self._cache.hold(user) as state:
            return state.records.written(kind, source) is not None

    def timeline(
        self, user: UserKey, window: Window = Window(), limit: int = 100, newest_first: bool = True
    ) -> tuple[TimelineEntry, ...]:
        """Turns and memories in order of ``event_time``; an episode is in every window that it touches."""
        window = utc_window(window)
        with self._cache.hold(user) as state:
            return timeline_of(state.records, window, limit, newest_first)

    # profile

    def profile(self, user: UserKey, *, as_of: AsOf | None = None) -> Profile:
        """The last version; version 0, neutral in every trait, where there is none."""
        as_of = utc_as_of(as_of)
        with self._cache.hold(user) as state:
            return profile_of(state.records, as_of)

    def profile_history(self, user: UserKey) -> tuple[Profile, ...]:
        """All versions, oldest first."""
        with self._cache.hold(user) as state:
            return tuple(state.records.profiles)

    def save_profile(self, user: UserKey, profile: Profile) -> Profile:
        """Store the next version; its number and ``recorded_at`` are the store's to set.

        The same ``source``, unless empty, is stored once: again, it returns what was stored then. Inferred
        traits are not stored where the profile has changed since the ``version`` that they were blended
        with: a reset, or consent withdrawn, outweighs them.
        """
        with self._cache.hold(user) as state:
            records = state.records
            if stored := records.profile_of_source(profile.source):
                return stored
            if profile.cause == "inferred" and profile.version != records.next_version - 1:
                return profile_of(records, None)
            profile = replace(
                profile,
                version=records.next_version,
                event_time=utc(profile.event_time),
                recorded_at=records.not_before_last(utc(self._clock())),
            )
            self._commit(user, "profile", [row_of(user, profile)])
            records.add_profile(profile)
            return profile

    # update stage

    def progress(self, user: UserKey) -> Progress:
        """How far the update stage has come for this user."""
        with self._cache.hold(user) as state:
            return state.records.progress

    def save_progress(self, user: UserKey, progress: Progress) -> None:
        """Store how far the update stage has come."""
        with self._cache.hold(user) as state:
            if progress != state.records.progress:
                row = row_of(user, progress) | {"sequence": state.records.next_progress}
                self._commit(user, "progress", [row])
                state.records.add_progress(progress)

    def users(self) -> tuple[UserKey, ...]:
        """Everyone of whom anything is stored, in order of tenant and name."""
        return self._shard.directory.users()

    def pending(self) -> tuple[UserKey, ...]:
        """Everyone with turns that the update stage has not consolidated."""
        return self._shard.directory.pending()

    def index(self, user: UserKey) -> None:
        """Encode what has no vector yet and store the vectors, so that searches need not."""
        self._retriever.index(user)

    # media

    def put_image(
        self, user: UserKey, data: bytes, media_type: str, width: int, height: int, caption: str = ""
    ) -> ImageRef:
        """Store an image of ``width`` x ``height`` pixels; the same bytes are stored once.

        InvalidError unless it is PNG, JPEG or WebP by ``media_type``; the bytes are not decoded.
        """
        return ImageRef(self._shard.media.put(user, data, media_type), media_type, width, height, caption)

    def image(self, user: UserKey, sha256: str) -> bytes:
        """The bytes of one of this user's images. NotFoundError."""
        return self._shard.media.get(user, sha256)

    def maintain(self) -> None:
        """Compact tables of many small pieces, sort those that have grown. Reads and writes go on."""
        self._shard.maintain()

    def flush(self) -> None:
        """Move the journal into the tables now."""
        self._shard.writer.flush()

    def stats(self) -> StoreStats:
        """Sizes and counts."""
        return StoreStats.of(self._shard, self._cache)

    def _commit(self, user: UserKey, table: str, rows: list[Row]) -> None:
        try:
            self._shard.append(user, table, rows)
        except BaseException:
            self._cache.forget(user)  # whether it took effect, only the table knows
            raise
