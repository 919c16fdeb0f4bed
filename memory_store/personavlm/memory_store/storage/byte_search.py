"""Looking for what was erased in every file of a shard: by bytes, and for files that should be gone.

Bytes are found wherever they stand as they were written, as texts do (``tables``); data files that no newest
version has need no such luck, and need not be read.
"""

import mmap
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from personavlm.memory_store.storage.journal import bytes_of_open
from personavlm.memory_store.storage.local_objects import LocalObjects
from personavlm.memory_store.storage.objects import MissingError, Objects

_FOOTER = struct.Struct("<QHH4s")  # of a manifest: where its message begins, the format's version, "LANC"


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
        if isinstance(objects, LocalObjects) and key.endswith(".lance"):  # never changes, may be large
            with (
                (objects.root / key).open("rb") as file,
                mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as view,
            ):
                return any(view.find(needle) >= 0 for needle in needles)
        data = _content(objects, key)
    except (MissingError, FileNotFoundError):
        return False
    return any(needle in data for needle in needles)


def _content(objects: Objects, key: str) -> bytes:
    journal = bytes_of_open(objects.root / key) if isinstance(objects, LocalObjects) else None
    return objects.get(key) if journal is None else journal


def data_files(objects: Objects, table: str) -> tuple[frozenset[str], frozenset[str]]:
    """Keys of the data files of a LanceDB table: those of its newest version, and all others.

    Others are of older versions, or of a write that is going on or was cut off. No version may be removed
    meanwhile. MissingError where there is none.
    """
    stored = frozenset(key for key, _ in objects.list(f"{table}.lance/data"))
    keys = (key for key, _ in objects.list(f"{table}.lance/_versions"))
    manifests = [key for key in keys if key.endswith(".manifest")]
    if not manifests:
        raise MissingError(f"no version of the table {table}")
    manifest = objects.get(min(manifests))  # names count down from 2**64 - 1
    begin, _, _, _ = _FOOTER.unpack(manifest[-_FOOTER.size :])
    message = manifest[begin:]  # what stands before it is of the last change: it names replaced files too
    newest = frozenset(key for key in stored if key.rpartition("/")[2].encode() in message)
    return newest, stored - newest


def hides_rows(objects: Objects, table: str) -> bool:
    """Whether data files of the table may hold rows that a version only marks as deleted."""
    return any(True for _ in objects.list(f"{table}.lance/_deletions"))
