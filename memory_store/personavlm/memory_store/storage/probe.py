"""The probe at start-up: does this object store keep its word on conditional writes?

LanceDB commits a version by creating its manifest, and the fence changes the epoch by compare-and-swap. A
store that ignores the conditions lets two writers overwrite each other, and acknowledged rows are lost
without an error.
"""

import uuid
from collections.abc import Callable

from personavlm.memory_store.errors import StorageError, StoreError, UnsafeStorageError
from personavlm.memory_store.storage.objects import ChangedError, ExistsError, Objects

_FIRST, _SECOND, _THIRD = b"first", b"second", b"third"


def require_conditional_writes(objects: Objects) -> None:
    """Try both conditions on an object of a random name, which is removed again.

    UnsafeStorageError where one is ignored, refused or misunderstood; StorageError where the store cannot be
    reached or written to at all.
    """
    key = f"probe/{uuid.uuid4().hex}"
    objects.put(key, _FIRST)  # what fails here does not fail for a condition
    try:
        fault = _fault_in_create(objects, key) or _fault_in_replace(objects, key)
    finally:
        objects.delete(key)
    if fault:
        raise UnsafeStorageError(
            f"{objects.uri} does not keep conditional writes: {fault}. Two writers could overwrite each "
            "other's commits, and acknowledged rows would be lost without an error. Use an object store that "
            "honours If-None-Match and If-Match on PUT (Amazon S3 does), check that no proxy before it drops "
            "these headers, or keep the store in a local folder"
        )


def _fault_in_create(objects: Objects, key: str) -> str | None:
    """What is wrong with create, tried on an object that exists."""
    fault = _not_refused(lambda: objects.create(key, _SECOND), ExistsError, "a second create of one object")
    return fault or _other_body(objects, key, _FIRST)


def _fault_in_replace(objects: Objects, key: str) -> str | None:
    """What is wrong with compare-and-swap, tried with the right version and then with the same again."""
    _, version = objects.get_versioned(key)
    try:
        objects.replace(key, _SECOND, version)
    except (ChangedError, StorageError) as error:
        return f"replacing the version that is there fails ({error})"
    fault = _not_refused(
        lambda: objects.replace(key, _THIRD, version), ChangedError, "replacing a version that is gone"
    )
    return fault or _other_body(objects, key, _SECOND)


def _not_refused(write: Callable[[], None], refusal: type[StoreError], what: str) -> str | None:
    try:
        write()
    except refusal:
        return None
    except StoreError as error:
        return f"{what} is answered by {error}"
    return f"{what} succeeds"


def _other_body(objects: Objects, key: str, expected: bytes) -> str | None:
    found = objects.get(key)
    return None if found == expected else f"{found!r} is read where {expected!r} was to stay"
