"""Working sets of the users seen last, within a bound on memory, and one lock per user."""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock

from personavlm.memory_store.errors import StoreError
from personavlm.memory_store.records import UserKey
from personavlm.memory_store.retrieval.index import SearchIndex
from personavlm.memory_store.working_set import WorkingSet

EMPTY_BYTES = 20_000
VISITORS = 10_000  # who came once, of whom nothing is in memory
LOCKS = 512  # users share locks by hash: two who share one wait for each other now and then


@dataclass(slots=True)
class UserState:
    """What memory holds of one user: the records, and what a search makes of them."""

    records: WorkingSet
    index: SearchIndex
    most_turns: int
    index_bytes: int = field(init=False)
    indexed: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        self.index_bytes = self.index.nbytes

    def refresh(self) -> None:
        """Let the index take in what is new among the records."""
        known = len(self.records.turns), len(self.records.versions_log)
        if known != self.indexed:
            self.index.refresh(self.records)
            self.index_bytes = self.index.nbytes  # measured here, where it grows: it takes a while
            self.indexed = known

    @property
    def outgrown(self) -> bool:
        """Whether so many turns have come that it is to be loaded anew, with the newest of them only."""
        return len(self.records.turns) > self.most_turns

    @property
    def nbytes(self) -> int:
        """About how much memory it takes."""
        return EMPTY_BYTES + self.records.nbytes + self.index_bytes


class UserCache:
    """Loads a user's state on first use and forgets the ones used longest ago.

    A state is used under its user's lock only. One that is forgotten while in use stays valid until the
    lock is released; whoever comes next loads again, and so sees all that was committed.
    """

    def __init__(
        self,
        load: Callable[[UserKey], UserState],
        max_bytes: int,
        admit: Callable[[UserKey], None] = lambda user: None,
        stored: Callable[[UserKey], bool] = lambda user: True,
    ) -> None:
        self._load, self._max_bytes = load, max_bytes
        self._admit, self._stored = admit, stored
        self._user_locks = [Lock() for _ in range(LOCKS)]
        self._lock = Lock()  # around all below
        self._states: OrderedDict[UserKey, UserState] = OrderedDict()
        self._visitors: OrderedDict[UserKey, bool] = OrderedDict()
        self._weights: dict[UserKey, int] = {}
        self._bytes = 0

    @contextmanager
    def hold(self, user: UserKey) -> Iterator[UserState]:
        """The user's state, nobody else's until the block ends. Blocks must not nest.

        Raises what ``admit`` raises for a user who may not be served now.
        """
        with self._user_locks[hash(user) % LOCKS]:
            self._admit(user)
            try:
                yield self._state(user)
            finally:
                self._weigh(user)

    @contextmanager
    def hold_unless_new(self, user: UserKey) -> Iterator[UserState | None]:
        """``hold`` for a user who is in memory or was asked for lately. None, and nothing is loaded, for
        another: most of those who come once do not come again."""
        with self._user_locks[hash(user) % LOCKS]:
            self._admit(user)
            try:
                yield None if self._is_new(user) else self._state(user)
            finally:
                self._weigh(user)

    def _is_new(self, user: UserKey) -> bool:
        with self._lock:
            if user in self._states or self._visitors.pop(user, False):
                return False
            self._visitors[user] = True
            if len(self._visitors) > VISITORS:
                self._visitors.popitem(last=False)
            return True

    @contextmanager
    def hold_ready(self, users: Sequence[UserKey]) -> Iterator[dict[UserKey, UserState]]:
        """The states of those of several users who are in nobody's use, and in memory or not ``stored`` at
        all: it waits for none. They are nobody else's until the block ends. Who may not be served now is left
        out as well.
        """
        taken: set[int] = set()
        states: dict[UserKey, UserState] = {}
        try:
            for user in users:
                number = hash(user) % LOCKS
                if number in taken or self._user_locks[number].acquire(blocking=False):
                    taken.add(number)
                    if self._admits(user):
                        if state := self._states.get(user):
                            states[user] = state
                        elif not self._stored(user):
                            states[user] = self._state(user)
            yield states
        finally:
            self._weigh(*states)
            for number in taken:
                self._user_locks[number].release()

    def _admits(self, user: UserKey) -> bool:
        try:
            self._admit(user)
        except StoreError:
            return False
        return True

    def _state(self, user: UserKey) -> UserState:
        with self._lock:
            state = self._states.get(user)
        if state is None:
            state = self._load(user)
            with self._lock:
                self._states[user] = state
        return state

    def barrier(self) -> None:
        """Return once no block is under way whose user was admitted before this call."""
        for lock in self._user_locks:
            with lock:
                pass

    def forget(self, user: UserKey) -> None:
        """Load the user anew next time: what was committed may differ from what memory holds."""
        with self._lock:
            self._drop(user)

    def size(self) -> tuple[int, int]:
        """How many users are held, and about how many bytes."""
        with self._lock:
            return len(self._states), self._bytes

    def limit(self, max_bytes: int) -> None:
        """Hold no more than this from now on."""
        with self._lock:
            self._max_bytes = max_bytes
            self._forget_oldest()

    def clear(self) -> None:
        """Forget everybody."""
        with self._lock:
            self._visitors.clear()
            for user in tuple(self._states):
                self._drop(user)

    def _weigh(self, *users: UserKey) -> None:
        with self._lock:
            for user in users:
                state = self._states.get(user)
                if state is None:
                    continue
                if state.outgrown:
                    self._drop(user)
                    continue
                self._states.move_to_end(user)
                weight = state.nbytes
                self._bytes += weight - self._weights.get(user, 0)
                self._weights[user] = weight
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        while len(self._states) > 1 and self._bytes > self._max_bytes:
            self._drop(next(iter(self._states)))

    def _drop(self, user: UserKey) -> None:
        if self._states.pop(user, None):
            self._bytes -= self._weights.pop(user, 0)
