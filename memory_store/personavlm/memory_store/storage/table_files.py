"""Files of one LanceDB table in a local folder: LanceDB itself never flushes what it writes to the disk."""

import os
from pathlib import Path

_FOLDERS = ("data", "_deletions", "_indices", "_transactions", "_versions")


class TableFiles:
    """Knows which files of a table are on the disk already. Calls take turns with those who write them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._synced: set[str] = set()

    def sync(self) -> None:
        """Flush every file that is new since the last call, then the folders that name it.

        A manifest is flushed after the data that it points to.
        """
        found: set[str] = set()
        for name in _FOLDERS:
            found |= self._sync_folder(self.folder / name)
        self._synced = found
        sync_file(self.folder)

    def _sync_folder(self, folder: Path) -> set[str]:
        if not folder.is_dir():
            return set()
        found: set[str] = set()
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    found |= self._sync_folder(Path(entry.path))
                    continue
                found.add(entry.path)
                if entry.path not in self._synced:
                    sync_file(Path(entry.path))
        if not found <= self._synced:
            sync_file(folder)
        return found


def sync_file(path: Path) -> None:
    """Flush a file or a folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
