"""The part of ``MemoryStore`` that keeps turns."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from personavlm.memory_store.cache import UserState
from personavlm.memory_store.context import context_of
from personavlm.memory_store.errors import NotFoundError, StoreError
from personavlm.memory_store.queries import AsOf, Context
from personavlm.memory_store.records import (
    Turn,
    TurnDraft,
    UserKey,
)
from personavlm.memory_store.storage.tables import Row, row_of
from personavlm.memory_store.store_part import StorePart
from personavlm.memory_store.times import utc, utc_as_of
from personavlm.memory_store.turns import take_in


class StoredTurns(StorePart):
    """Turns of all users, and the context of a first prompt."""

    _session_gap: timedelta

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
        with self._cache.hold_all([user for user, _ in items]) as states:
            now = utc(self._clock())
            new: list[tuple[UserKey, list[Row]]] = []
            try:
                found = [self._taken_in(user, draft, states[user], now, new) for user, draft in items]
                if new:
                    self._shard.append_all(new, "turns")
            except BaseException:
                for user, _ in items:
                    self._cache.forget(user)
                raise
            return found

    def _taken_in(
        self,
        user: UserKey,
        draft: TurnDraft,
        state: UserState | StoreError,
        now: datetime,
        new: list[tuple[UserKey, list[Row]]],
    ) -> Turn | Exception:
        """One turn of a batch, or why it is none; its row goes to ``new``."""
        if isinstance(state, StoreError):
            return state
        try:
            turns, added = take_in([draft], user, state.records, self._shard.media, self._session_gap, now)
        except (StoreError, ValueError) as error:
            return error
        new += [(user, [row_of(user, turn)]) for turn in added]
        return turns[0]

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
            return context_of(state.records, now, self._session_gap, token_budget, as_of)
