"""Whose store in a bucket this is: a claim that its holder renews, and that others respect.

In a folder the kernel's lock tells whether a writer lives. A bucket has no such lock: a second service would
take the next epoch of every shard, the first would take it back, and so on. Nothing acknowledged would be
lost (``fence``), but nobody would be served. So who opens a store in a bucket claims it first.

Clocks of several machines are never compared: who finds another's claim watches whether it is renewed.
"""

import json
import logging
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from threading import Event, Thread
from typing import Self

from personavlm.memory_store.errors import DamagedError, InUseError, StorageError
from personavlm.memory_store.storage.objects import ChangedError, ExistsError, MissingError, Objects, Version

log = logging.getLogger(__name__)

KEY = "owner.json"


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds between renewals, and after how many without one a holder counts as gone."""

    renew_s: float = 5.0
    silent_s: float = 20.0


@dataclass(frozen=True, slots=True)
class Holder:
    """Who claims. Processes of one service share an ``id``. Services of one ``release`` follow each other:
    a new one takes over from the old one, which is about to end. ``place`` is shown to people."""

    id: str
    release: str | None
    place: str

    def __str__(self) -> str:
        return f"{f'release {self.release!r}' if self.release else 'a service'} on {self.place}"


@dataclass(frozen=True, slots=True)
class _Record:
    """The stored object. ``renewals`` makes each renewal another content."""

    holder: Holder
    renewals: int

    @classmethod
    def of(cls, data: bytes) -> Self:
        try:
            stored = json.loads(data)
            return cls(Holder(**stored["holder"]), int(stored["renewals"]))
        except (ValueError, KeyError, TypeError) as error:
            raise DamagedError(f"{KEY} makes no sense: {data[:100]!r}") from error

    def data(self) -> bytes:
        return json.dumps(asdict(self), indent=1).encode()


class Claim:
    """A store claimed, and renewed by a thread of its own until ``stop`` or until it is lost."""

    def __init__(self, objects: Objects, holder: Holder, lost: Callable[[], None], pace: Pace) -> None:
        self._objects, self._holder, self._lost, self._pace = objects, holder, lost, pace
        self._ended = Event()
        self._thread = Thread(target=self._renew, name="claim", daemon=True)
        self._thread.start()

    @classmethod
    def take(
        cls,
        objects: Objects,
        holder: Holder,
        *,
        take_over: bool,
        lost: Callable[[], None],
        pace: Pace = Pace(),
    ) -> Self:
        """Claim the store whose root ``objects`` is; ``lost`` is called once another has it.

        With ``take_over``, a living service of the same release gives way at once. Any other claim is
        watched for as long as its holder may be silent. InUseError where it is renewed meanwhile.
        """
        _watch(objects, holder, take_over=take_over, pace=pace)
        return cls(objects, holder, lost, pace)

    def stop(self) -> None:
        """Renew no more: the claim stands while other processes of the holder renew it."""
        self._ended.set()
        self._thread.join()

    def release(self) -> None:
        """End the claim for all processes of the holder, so that the next one need not wait."""
        self.stop()
        let_go(self._objects, self._holder.id)

    def _renew(self) -> None:
        """Whoever of the holder's processes finds the claim as it was the last time renews it."""
        seen: Version | None = None
        while not self._ended.wait(self._pace.renew_s):
            try:
                found = _read(self._objects)
                if found is None or found[0].holder.id != self._holder.id:
                    break
                record, version = found
                if version == seen:
                    self._objects.replace(KEY, _Record(self._holder, record.renewals + 1).data(), version)
                seen = version
            except ChangedError:  # another process of ours was faster, or another service: look again
                seen = None
            except StorageError as error:
                log.warning("the claim on %s could not be renewed: %s", self._objects.uri, error)
        else:
            return
        log.error("%s was taken over by another service, or its %s was removed", self._objects.uri, KEY)
        self._lost()


def let_go(objects: Objects, holder_id: str) -> None:
    """End the claim of a holder all of whose processes have ended; that of anybody else stays."""
    found = _read(objects)
    if found and found[0].holder.id == holder_id:
        objects.delete(KEY)


def holder_of(objects: Objects) -> Holder | None:
    """Who claims the store; None where nobody does."""
    found = _read(objects)
    return found[0].holder if found else None


def _watch(objects: Objects, holder: Holder, *, take_over: bool, pace: Pace) -> None:
    """Return once the stored claim is the holder's. InUseError."""
    watched: Version | None = None
    since = time.monotonic()
    while True:
        found = _read(objects)
        if found and found[0].holder.id == holder.id:
            return
        may = found is None or (take_over and _same_release(found[0].holder, holder))
        if found and not may:
            if watched not in (None, found[1]):
                raise InUseError(_refusal(objects, found[0].holder))
            if watched is None:
                watched, since = found[1], time.monotonic()
            may = time.monotonic() - since >= pace.silent_s
        if not may:
            time.sleep(pace.renew_s / 5)  # nothing tells when another machine renews its claim
        elif _write(objects, holder, found):
            return
        else:
            watched = None


def _same_release(one: Holder, other: Holder) -> bool:
    return one.release is not None and one.release == other.release


def _refusal(objects: Objects, other: Holder) -> str:
    return (
        f"{objects.uri} is in use by {other}, which has just renewed its claim. Two services cannot share a "
        "store: give each a memory.uri of its own, or end that one first. For a new version of a service to "
        "follow the old one, give both the same memory.release"
    )


def _write(objects: Objects, holder: Holder, found: tuple[_Record, Version] | None) -> bool:
    """Whether the claim could be written in place of what was found."""
    try:
        if found is None:
            objects.create(KEY, _Record(holder, 0).data())
        else:
            objects.replace(KEY, _Record(holder, found[0].renewals + 1).data(), found[1])
    except (ExistsError, ChangedError):
        return False
    return True


def _read(objects: Objects) -> tuple[_Record, Version] | None:
    try:
        data, version = objects.get_versioned(KEY)
    except MissingError:
        return None
    return _Record.of(data), version
