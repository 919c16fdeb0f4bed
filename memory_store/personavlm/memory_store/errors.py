"""Errors of the memory store.

StoreError
├── NotFoundError      no such turn, memory or media for this user
├── OutOfOrderError    a turn older than the user's newest
├── InvalidError       an operation that the current state does not admit
└── DamagedError       a table that could not be repaired at open
"""


class StoreError(Exception):
    """Base of everything that the store raises."""


class NotFoundError(StoreError):
    """The id does not exist for this user. Whether it exists for another is never said."""


class OutOfOrderError(StoreError):
    """The turn's ``event_time`` lies before the user's newest turn and ``allow_past`` is not set."""


class InvalidError(StoreError):
    """The operation names an unknown id, an empty text, or a missing key."""


class DamagedError(StoreError):
    """A table has no version left that can be read."""
