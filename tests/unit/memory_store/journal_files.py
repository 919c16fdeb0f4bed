"""A journal's files, for tests that copy, cut and search them."""

import shutil
from pathlib import Path

from personavlm.memory_store.storage.journal import Entry


def entry(seq: int, size: int = 600) -> Entry:
    """An entry that is told by its seq."""
    return Entry(seq, "turns", f"user {seq}", f"{seq}:".encode() + b"x" * size)


def log_of(path: Path) -> Path:
    """SQLite's write-ahead log of the journal."""
    return path.with_name(path.name + "-wal")


def copy(path: Path, folder: Path) -> Path:
    """The journal as a crash would leave it now, in another folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in (path, log_of(path)):
        if file.exists():
            shutil.copy(file, folder)
    return folder / path.name


def bytes_of(path: Path) -> bytes:
    """All bytes of all files of the journal."""
    return b"".join(file.read_bytes() for file in sorted(path.parent.iterdir()) if file.is_file())


def contents(path: Path) -> dict[str, bytes]:
    """Every file of the journal's folder."""
    return {file.name: file.read_bytes() for file in path.parent.iterdir()}
