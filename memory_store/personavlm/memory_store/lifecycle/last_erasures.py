"""When users and tenants were last erased as a whole: what was begun before must not be stored after.

Each such erasure gets a number, greater than any that its shard gave or heard of before. Whoever reads a
context to write a reply is told the greatest (``Context.last_erasure``) and hands it back with the turn; the
turn is refused if its user, or his tenant, was erased under a greater one since. The numbers are stored with
the shard, and those of a shard that users leave become known to the one that they come to.

Numbers are microseconds since 1970 where that is greater than the number before, and that number plus one
otherwise (a hybrid logical clock, https://cse.buffalo.edu/tech-reports/2014-04.pdf). They are compared with
each other only, so it does not matter what the clocks of different processes say. The time in them serves to
forget erasures that are older than any reply can be.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from threading import Lock

from pydantic import BaseModel, ConfigDict, ValidationError

from personavlm.memory_store.errors import DamagedError, ErasedError
from personavlm.memory_store.records import UserKey
from personavlm.memory_store.storage.objects import MissingError, Objects, Version

KEY = "last_erasures.json"
KEPT = timedelta(days=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class NumberedErasure(BaseModel):
    """The last one of a user, or of a tenant where ``user`` is None."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tenant: str
    user: str | None
    number: int


class KnownErasures(BaseModel):
    """What is stored: the greatest number, and the erasures that are not forgotten."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    number: int = 0
    last: tuple[NumberedErasure, ...] = ()


class LastErasures:
    """Of one shard. Safe with threads."""

    def __init__(self, objects: Objects, clock: Callable[[], datetime]) -> None:
        self._objects, self._clock = objects, clock
        self._lock = Lock()  # around changes
        known, _ = self._read()
        self.number, self._last = known.number, _by_owner(known)

    def require_none_since(self, user: UserKey, number: int | None) -> None:
        """ErasedError where the user or his tenant was erased after ``number`` was the greatest."""
        if number is None or number >= self.number:
            return
        if max(self._last.get(user, 0), self._last.get(user.tenant, 0)) > number:
            raise ErasedError("the user's data were erased after this turn began; it is not stored")

    def note(self, everyone: Iterable[UserKey | str]) -> None:
        """Users, and tenants by name, were erased just now. ChangedError where another process writes the
        shard; what the storage raises: nothing may be confirmed then."""
        with self._lock:
            stored, version = self._read()
            number = max(stored.number, self.number) + 1
            number = max(number, (self._clock() - _EPOCH) // _MICROSECOND)
            oldest = number - KEPT // _MICROSECOND
            last = {**_newest(self._last, _by_owner(stored)), **dict.fromkeys(everyone, number)}
            self._write(number, {who: each for who, each in last.items() if each > oldest}, version)

    def known(self) -> KnownErasures:
        """For ``learn`` of the shard that users move to. Nobody of them may be served meanwhile."""
        with self._lock:
            return _known(self.number, self._last)

    def learn(self, known: KnownErasures) -> None:
        """What the shard knew that users come from. Errors of ``note``.

        Of a tenant that was erased in the last day, replies that are being written here may be refused once
        more than need be: each shard erases it under a number of its own, and the greatest counts.
        """
        with self._lock:
            stored, version = self._read()
            number = max(stored.number, self.number, known.number)
            last = _newest(self._last, _by_owner(stored), _by_owner(known))
            if (number, last) != (self.number, self._last):
                self._write(number, last, version)

    def _read(self) -> tuple[KnownErasures, Version | None]:
        try:
            data, version = self._objects.get_versioned(KEY)
            return KnownErasures.model_validate_json(data), version
        except MissingError:
            return KnownErasures(), None
        except ValidationError as error:
            raise DamagedError(f"{KEY} is not a list of erasures that this version reads: {error}") from error

    def _write(self, number: int, last: dict[UserKey | str, int], version: Version | None) -> None:
        data = _known(number, last).model_dump_json().encode()
        if version is None:
            self._objects.create(KEY, data)
        else:
            self._objects.replace(KEY, data, version)
        self.number, self._last = number, last


def _by_owner(known: KnownErasures) -> dict[UserKey | str, int]:
    return {
        each.tenant if each.user is None else UserKey(each.tenant, each.user): each.number
        for each in known.last
    }


def _newest(*all_last: Mapping[UserKey | str, int]) -> dict[UserKey | str, int]:
    newest: dict[UserKey | str, int] = {}
    for last in all_last:
        for who, number in last.items():
            newest[who] = max(number, newest.get(who, 0))
    return newest


def _known(number: int, last: Mapping[UserKey | str, int]) -> KnownErasures:
    return KnownErasures(
        number=number,
        last=tuple(
            NumberedErasure(tenant=who, user=None, number=each)
            if isinstance(who, str)
            else NumberedErasure(tenant=who.tenant, user=who.user, number=each)
            for who, each in last.items()
        ),
    )
