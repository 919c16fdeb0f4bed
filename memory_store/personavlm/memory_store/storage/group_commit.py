"""Commit together what comes together.

The group is whatever queued while the last one was being committed, never what came within some time: a
lone caller commits at once, on its own thread, and many callers share one flush of the disk.
"""

from collections.abc import Callable, Sequence
from threading import Lock
from typing import Generic, TypeVar

T = TypeVar("T")


class _Ticket(Generic[T]):
    """One item on its way. ``gate`` opens when it is committed, or when its thread is to commit the group."""

    __slots__ = ("error", "gate", "item", "leads")

    def __init__(self, item: T) -> None:
        self.item = item
        self.error: BaseException | None = None
        self.leads = False
        self.gate = Lock()
        self.gate.acquire()


class GroupCommit(Generic[T]):
    """Threads hand in items; ``commit`` is called with one group at a time, in the order of handing in."""

    def __init__(self, commit: Callable[[Sequence[T]], None]) -> None:
        self._commit = commit
        self._lock = Lock()
        self._queue: list[_Ticket[T]] = []
        self._committing = False

    def submit(self, item: T) -> None:
        """Return once the item's group is committed; raises what its commit raised.

        Whoever is interrupted while waiting takes the item back, unless it is being committed already.
        """
        ticket = _Ticket(item)
        with self._lock:
            self._queue.append(ticket)
            leads = not self._committing
            self._committing = True
        if not leads:
            self._wait(ticket)
            leads = ticket.leads
        if leads:
            self._commit_queue(ticket)
        if ticket.error is not None:
            raise ticket.error

    def _wait(self, ticket: _Ticket[T]) -> None:
        try:
            ticket.gate.acquire()
        except BaseException:  # a signal in the main thread
            with self._lock:
                if ticket in self._queue:
                    self._queue.remove(ticket)
                if ticket.leads:
                    self._pass_on()
            raise

    def _pass_on(self) -> None:
        """The first of those who came meanwhile commits the next group. The lock is held."""
        if self._queue:
            self._queue[0].leads = True
            self._queue[0].gate.release()
        else:
            self._committing = False

    def _commit_queue(self, own: _Ticket[T]) -> None:
        with self._lock:
            group, self._queue = self._queue, []
        error: BaseException | None = None
        try:
            self._commit([ticket.item for ticket in group])
        except BaseException as raised:  # noqa: BLE001 - handed to every thread of the group, this one too
            error = raised
        with self._lock:
            self._pass_on()
        for ticket in group:
            ticket.error = error
            if ticket is not own:
                ticket.gate.release()
