"""Who is served at this moment: users whose home is here and who are not being erased or moved."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock

from personavlm.memory_store.errors import BusyError
from personavlm.memory_store.records import UserKey


class Admission:
    """Asked under the user's lock, before every read and write. ``at_home`` raises for users of others."""

    def __init__(self, at_home: Callable[[UserKey], None] = lambda user: None) -> None:
        self._at_home = at_home
        self._shut: set[UserKey | str] = set()
        self._lock = Lock()

    def require(self, user: UserKey) -> None:
        """BusyError while the user or the tenant is shut out; whatever ``at_home`` raises."""
        if self._shut and (user in self._shut or user.tenant in self._shut):
            raise BusyError("this user's memory is being erased or moved; try again in a moment")
        self._at_home(user)

    @contextmanager
    def shut(self, who: UserKey | str) -> Iterator[None]:
        """Serve a user, or a tenant by name, to nobody until the block ends. BusyError if so already, be it
        a user of the tenant or the tenant of the user."""
        with self._lock:
            if any(_overlap(who, other) for other in self._shut):
                raise BusyError("this user's memory is being erased or moved already; try again in a moment")
            self._shut = self._shut | {who}
        try:
            yield
        finally:
            with self._lock:
                self._shut = self._shut - {who}


def _overlap(one: UserKey | str, other: UserKey | str) -> bool:
    """Whether they are the same, or one is a user of the other."""
    if isinstance(one, UserKey) == isinstance(other, UserKey):
        return one == other
    return (one.tenant if isinstance(one, UserKey) else one) == (
        other.tenant if isinstance(other, UserKey) else other
    )
