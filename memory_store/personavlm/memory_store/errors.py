"""Errors of the memory store.

StoreError
├── NotFoundError      no such turn, memory or media for this user
├── OutOfOrderError    a turn older than the user's newest
├── InvalidError       an operation that the current state does not admit
├── DamagedError       a table or file that could not be repaired at open
├── StorageError       the object store failed, refused or could not be reached
├── UnsafeStorageError the object store ignores conditional writes
├── InUseError         another writer has the folder open
├── LostEpochError     this process is no longer the writer
├── MovedError         this shard is not the user's home any more
├── ErasedError        the user was erased since the turn began
└── BusyError          a bound was reached or a bucket moves: try again

The errors of files by key stand with their protocol in ``storage/objects.py``.
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
    """A table has no version left that can be read, or a file of the store makes no sense."""


class StorageError(StoreError):
    """The object store failed, refused or could not be reached; the message is its own."""


class UnsafeStorageError(StoreError):
    """The object store ignores conditional writes: two writers would lose acknowledged rows in silence."""


class InUseError(StoreError):
    """Another writer has this folder open."""


class LostEpochError(StoreError):
    """Another writer has taken over; nothing more may be acknowledged here."""


class MovedError(StoreError):
    """The user's home is another shard now."""


class ErasedError(StoreError):
    """The user or his tenant was erased while the reply was being written; its turn is not stored."""


class BusyError(StoreError):
    """A bound was reached, or the user's bucket is on the move. The same call may succeed soon."""


def storage_failed(error: Exception) -> bool:
    """Whether the storage is to blame. Reads raise what LanceDB makes of that: only its text tells."""
    return isinstance(error, StorageError) or (
        isinstance(error, RuntimeError | OSError) and "LanceError(IO)" in str(error)
    )
