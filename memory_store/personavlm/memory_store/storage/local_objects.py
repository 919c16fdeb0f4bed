"""Objects as files of a local folder.

A file is written under another name, flushed, then renamed, and its folder flushed: under its own name it
is always whole, and outlives a power failure. Locks of the kernel keep comparing and renaming apart from
those of other threads and processes; a killed process leaves no lock behind.
"""

import fcntl
import hashlib
import os
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from personavlm.memory_store.storage.objects import (
    ChangedError,
    ExistsError,
    MissingError,
    Version,
    checked_key,
    is_key,
)

_PART_BYTES = 1 << 20
_OWN_FOLDER = ".objects"  # locks and unfinished files; no key begins with a dot
_ABSENT = (FileNotFoundError, NotADirectoryError, IsADirectoryError)


class LocalObjects:
    """``<root>/<key>`` for each object. What killed processes left unfinished is removed when it opens."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.uri = str(root)
        self._own = root / _OWN_FOLDER
        self._unfinished = self._own / "unfinished"
        make_folder(self._unfinished)
        self._sweep()

    def put(self, key: str, data: bytes) -> None:
        """Write the object, in place of an older one."""
        self.put_parts(key, [data])

    def create(self, key: str, data: bytes) -> None:
        """Write a new object. ExistsError."""

        def require_absence(path: Path) -> None:
            if path.exists():
                raise ExistsError(f"{key} exists already in {self.uri}")

        self._write(key, [data], require_absence)

    def replace(self, key: str, data: bytes, version: Version) -> None:
        """Write the object if it still is of ``version``. ChangedError, for an absent one too."""

        def require_version(path: Path) -> None:
            try:
                current = path.read_bytes()
            except _ABSENT as error:
                raise ChangedError(f"{key} is absent from {self.uri}") from error
            if _version(current) != version:
                raise ChangedError(f"{key} was changed meanwhile in {self.uri}")

        self._write(key, [data], require_version)

    def get(self, key: str) -> bytes:
        """The content. MissingError."""
        try:
            return self._path(key).read_bytes()
        except _ABSENT as error:
            raise MissingError(f"no object {key!r}") from error

    def get_parts(self, key: str) -> Iterator[bytes]:
        """The content in parts that fit into memory. MissingError."""
        try:
            file = self._path(key).open("rb")
        except _ABSENT as error:
            raise MissingError(f"no object {key!r}") from error
        with file:
            while part := file.read(_PART_BYTES):
                yield part

    def put_parts(self, key: str, parts: Iterable[bytes]) -> None:
        """Write the object from its parts, in place of an older one; nothing if ``parts`` raises."""
        self._write(key, parts, lambda path: None)

    def get_versioned(self, key: str) -> tuple[bytes, Version]:
        """The content and its version. MissingError."""
        data = self.get(key)
        return data, _version(data)

    def size(self, key: str) -> int | None:
        """Bytes of the object; None where it is absent."""
        path = self._path(key)
        try:
            return path.stat().st_size if path.is_file() else None
        except FileNotFoundError:  # deleted meanwhile
            return None

    def delete(self, key: str) -> None:
        """Remove the object, and the folders that it leaves empty; an absent one is fine."""
        path = self._path(key)
        with self._lock("rename", fcntl.LOCK_EX):
            try:
                path.unlink()
            except _ABSENT:
                return
            sync_folder(path.parent)
            self._remove_empty(path.parent)

    def list(self, prefix: str) -> Iterator[tuple[str, int]]:
        """Keys below the folder ``prefix`` (all keys for ``""``) and bytes of each, in no set order."""
        top = self._path(prefix) if prefix else self.root
        for folder, _, names in os.walk(top):
            for path in (Path(folder, name) for name in names):
                key = path.relative_to(self.root).as_posix()
                with suppress(FileNotFoundError):  # deleted meanwhile
                    if is_key(key):
                        yield key, path.stat().st_size

    def _path(self, key: str) -> Path:
        return self.root / checked_key(key)

    def _write(self, key: str, parts: Iterable[bytes], require: Callable[[Path], None]) -> None:
        """Write if ``require`` does not object. It is asked when no other write can come between."""
        path = self._path(key)
        unfinished = self._unfinished / uuid.uuid4().hex
        with self._lock("write", fcntl.LOCK_SH):
            try:
                _write_file(unfinished, parts)
                with self._lock("rename", fcntl.LOCK_EX):
                    require(path)
                    make_folder(path.parent)
                    unfinished.rename(path)
                    sync_folder(path.parent)
            finally:
                unfinished.unlink(missing_ok=True)

    def _sweep(self) -> None:
        # While another process writes, its unfinished files are alive; the next one to open sweeps then.
        with suppress(BlockingIOError), self._lock("write", fcntl.LOCK_EX | fcntl.LOCK_NB):
            for leftover in self._unfinished.iterdir():
                leftover.unlink()

    def _remove_empty(self, folder: Path) -> None:
        while folder != self.root:
            try:
                folder.rmdir()
            except OSError:  # not empty
                return
            folder = folder.parent

    @contextmanager
    def _lock(self, name: str, operation: int) -> Iterator[None]:
        """Hold a lock of the kernel. Each call opens the file anew, so threads exclude each other too."""
        file = os.open(self._own / f"{name}.lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(file, operation)
            yield
        finally:
            # A process forked meanwhile shares the lock: closing alone would leave it locked.
            fcntl.flock(file, fcntl.LOCK_UN)
            os.close(file)


def make_folder(folder: Path) -> None:
    """Create the folder and those above it, so that they outlive a power failure."""
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in the folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_file(path: Path, parts: Iterable[bytes]) -> None:
    with path.open("xb") as file:
        file.writelines(parts)
        file.flush()
        os.fsync(file.fileno())


def _version(data: bytes) -> Version:
    return hashlib.sha256(data).hexdigest()
