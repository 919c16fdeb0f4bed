"""The part of ``MemoryStore`` that keeps turns."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from personavlm.memory_store.cache import UserCache, UserState
from personavlm.memory_store.context import context_of
from personavlm.memory_store.errors import NotFoundError, StoreError
from personavlm.memory_store.lifecycle.last_erasures import LastErasures
from personavlm.memory_store.queries import AsOf, Context
from personavlm.memory_store.records import (
    Turn,
    TurnDraft,
    UserKey,
)
from personavlm.memory_store.storage.group_commit import GroupCommit
from personavlm.memory_store.storage.shard import Shard
from personavlm.memory_store.storage.tables import row_of, uid_of
from personavlm.memory_store.storage.writes import Write
from personavlm.memory_store.store_part import StorePart
from personavlm.memory_store.times import utc, utc_as_of
from personavlm.memory_store.turns import turn_of
from personavlm.memory_store.working_set import WorkingSet


@dataclass(slots=True, eq=False)
class _Append:
    """A turn to be stored together with others, and what came of it."""

    user: UserKey
    draft: TurnDraft
    outcome: Turn | Exception | None = None


class StoredTurns(StorePart):
    """Turns of all users, and the context of a first prompt."""

    def __init__(
        self,
        shard: Shard,
        cache: UserCache,
        clock: Callable[[], datetime],
        session_gap: timedelta,
        last_erasures: LastErasures,
    ) -> None:
        super().__init__(shard, cache, clock)
        self._session_gap = session_gap
        self.last_erasures = last_erasures
        self._appends: GroupCommit[_Append] = GroupCommit(self._append_group)

    def append_turn(self, user: UserKey, draft: TurnDraft) -> Turn:
        """Store a turn; it outlives this process once the call has returned.

        A turn joins the session of the newest turn unless ``session_gap`` has passed since. One without
        an ``event_time`` happens now, never before the newest. OutOfOrderError for an ``event_time`` before
        that without ``allow_past``; ErasedError where the user was erased since the context was read;
        InvalidError for a turn without content or with an image that was never stored; ValueError for a
        naive time.
        """
        append = _Append(user, draft)
        self._appends.submit(append)
        if append.outcome is None:
            return self.append_turns(user, [draft])[0][0]
        if isinstance(append.outcome, Exception):
            raise append.outcome
        return append.outcome

    def append_turns(self, user: UserKey, drafts: Sequence[TurnDraft]) -> tuple[tuple[Turn, ...], int]:
        """Store turns in one commit, all or none; the turn of each draft, and how many are new."""
        with self._cache.hold(user) as state:
            now, turns, new = utc(self._clock()), list[Turn](), list[Turn]()
            try:
                for draft in drafts:
                    turn, is_new = self._known_or_next(user, draft, state.records, now)
                    turns.append(turn)
                    if is_new:
                        state.records.add_turn(turn)
                        new.append(turn)
                if new:
                    self._shard.append(user, "turns", [row_of(user, turn) for turn in new])
            except BaseException:
                self._cache.forget(user)
                raise
            return tuple(turns), len(new)

    def append_each(self, items: Sequence[tuple[UserKey, TurnDraft]]) -> list[Turn | Exception | None]:
        """Store turns of many users with one flush of the disk; for each its turn, or what it raises.

        None, and nothing is stored, for a user who is in use or not in memory: others need not wait for
        him. ``append_turns`` does.
        """
        with self._cache.hold_ready([user for user, _ in items]) as states:
            now, writes = utc(self._clock()), list[Write]()
            try:
                found = [self._taken_in(user, draft, states.get(user), now, writes) for user, draft in items]
                if writes:
                    self._shard.write(writes)
            except BaseException:
                for user in states:
                    self._cache.forget(user)
                raise
            return found

    def _append_group(self, group: Sequence["_Append"]) -> None:
        for append, outcome in zip(
            group, self.append_each([(append.user, append.draft) for append in group]), strict=True
        ):
            append.outcome = outcome

    def _taken_in(
        self,
        user: UserKey,
        draft: TurnDraft,
        state: UserState | None,
        now: datetime,
        writes: list[Write],
    ) -> Turn | Exception | None:
        """One turn of a batch, or why it is none; what is new goes to ``writes``."""
        if state is None:
            return None
        try:
            turn, is_new = self._known_or_next(user, draft, state.records, now)
            if is_new:
                writes.append(self._shard.prepared(user, "turns", [row_of(user, turn)]))
                state.records.add_turn(turn)
        except (StoreError, ValueError) as error:
            return error
        return turn

    def _known_or_next(
        self, user: UserKey, draft: TurnDraft, records: WorkingSet, now: datetime
    ) -> tuple[Turn, bool]:
        """The turn that the draft became before, or is to become, and whether it is new."""
        if known := records.turn_of_client(draft.client_id):
            return known, False
        self.last_erasures.require_none_since(user, draft.last_erasure)
        self._shard.media.require(user, (*draft.images, *draft.attachments))
        return turn_of(draft, records, uid_of(user), self._session_gap, now), True

    def turns(
        self, user: UserKey, *, session: str | None = None, first_index: int = 0, as_of: AsOf | None = None
    ) -> tuple[Turn, ...]:
        """Turns from ``first_index`` on in the order in which they were stored, of one session or all."""
        as_of = utc_as_of(as_of)
        with self._cache.hold(user) as state:
            return tuple(state.records.all_turns(session, first_index, as_of))

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
            return context_of(
                state.records, now, self._session_gap, token_budget, as_of, self.last_erasures.number
            )
