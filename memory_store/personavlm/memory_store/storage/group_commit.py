"""Commit together what comes together: the group is whatever queued during the last commit."""

from collections.abc import Callable, Sequence
from threading import Lock
from typing import Generic, TypeVar

T = TypeVar("T")


class GroupCommit(Generic[T]):
    def __init__(self, commit: Callable[[Sequence[T]], None]) -> None:
        self._commit = commit
        self._lock = Lock()

    def submit(self, item: T) -> None:
        with self._lock:
            self._commit([item])
