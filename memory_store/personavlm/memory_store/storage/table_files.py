"""Files of one LanceDB table in a local folder: whether they are whole, and flushed to the disk.

LanceDB never flushes what it writes, and does not learn when the end of a file met a full disk: it writes
through tokio, which keeps such an error for a next write that never comes
(https://github.com/tokio-rs/tokio/issues/6325).
"""

import os
from pathlib import Path

_END = b"LANC"  # of data, index and manifest files (https://lance.org/format/file/)
_ENDING = (".lance", ".manifest")
_UNFINISHED = ".tmp"
_FOLDERS = ("data", "_deletions", "_indices", "_transactions", "_versions")


class TableFiles:
    """Knows which files of a table are on the disk already. Calls take turns with those who write them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._synced: set[str] = set()

    def sync(self) -> list[Path]:
        """Flush every file that is new since the last call, then the folders that name it; a manifest after
        the data that it points to.

        Files without their end are removed instead, and returned: no version that refers to one can be used.
        What LanceDB had not yet given its name when it was interrupted goes as well.
        """
        found: set[str] = set()
        torn: list[Path] = []
        for name in _FOLDERS:
            found |= self._sync_folder(self.folder / name, torn)
        self._synced = found
        sync_file(self.folder)
        return torn

    def _sync_folder(self, folder: Path, torn: list[Path]) -> set[str]:
        if not folder.is_dir():
            return set()
        found: set[str] = set()
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    found |= self._sync_folder(Path(entry.path), torn)
                    continue
                if entry.name.startswith(_UNFINISHED):
                    Path(entry.path).unlink()
                    continue
                if entry.path not in self._synced:
                    if _torn(Path(entry.path)):
                        Path(entry.path).unlink()
                        torn.append(Path(entry.path))
                        continue
                    sync_file(Path(entry.path))
                found.add(entry.path)
        if not found <= self._synced:
            sync_file(folder)
        return found


def _torn(path: Path) -> bool:
    if path.suffix not in _ENDING:
        return False
    with path.open("rb") as file:
        file.seek(max(path.stat().st_size - len(_END), 0))
        return file.read() != _END


def sync_file(path: Path) -> None:
    """Flush a file or a folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
