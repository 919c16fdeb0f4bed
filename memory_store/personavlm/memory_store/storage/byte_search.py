"""Looking for bytes in every file of a shard: what was erased must not be found again."""

import mmap
from collections.abc import Sequence
from dataclasses import dataclass

from personavlm.memory_store.storage.local_objects import LocalObjects
from personavlm.memory_store.storage.objects import MissingError, Objects


@dataclass(frozen=True, slots=True)
class Searched:
    """How much was looked at, and the keys of objects that hold one of the needles."""

    files: int
    bytes: int
    found: tuple[str, ...]


def search_bytes(objects: Objects, needles: Sequence[bytes]) -> Searched:
    """Look through all objects. One that disappears meanwhile, as old versions do, holds nothing."""
    files = total = 0
    found: list[str] = []
    for key, size in objects.list(""):
        if size and _holds(objects, key, needles):
            found.append(key)
        files, total = files + 1, total + size
    return Searched(files, total, tuple(found))


def _holds(objects: Objects, key: str, needles: Sequence[bytes]) -> bool:
    try:
        if not isinstance(objects, LocalObjects):
            data = objects.get(key)
            return any(needle in data for needle in needles)
        with (
            (objects.root / key).open("rb") as file,
            mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as view,
        ):
            return any(view.find(needle) >= 0 for needle in needles)
    except (MissingError, FileNotFoundError):
        return False
