"""The part of ``MemoryStore`` that keeps what was learned: memories, profile, how far updates got."""

from collections.abc import Sequence
from dataclasses import replace

from personavlm.memory_store.context import profile_of, timeline_of
from personavlm.memory_store.errors import InvalidError, NotFoundError
from personavlm.memory_store.operations import Step
from personavlm.memory_store.queries import AsOf, TimelineEntry, Window
from personavlm.memory_store.records import (
    Add,
    AnyMemory,
    MemoryKind,
    Operation,
    Profile,
    Progress,
    UserKey,
)
from personavlm.memory_store.storage.tables import memory_rows, row_of, uid_of
from personavlm.memory_store.store_part import StorePart
from personavlm.memory_store.times import utc, utc_as_of, utc_window


class StoredMemories(StorePart):
    """Memories, profile and progress of all users, every version of each."""

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
        with: a reset, or consent withdrawn, outweighs them. Nor are they once their evidence was erased.
        """
        with self._cache.hold(user) as state:
            records = state.records
            if stored := records.profile_of_source(profile.source):
                return stored
            if profile.cause == "inferred" and not (
                profile.version == records.next_version - 1 and all(map(records.turn, profile.evidence))
            ):
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
