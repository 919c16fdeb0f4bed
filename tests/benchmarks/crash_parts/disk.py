"""Small disks of their own, to fill and to cut off: ext4 in a file behind a loop device. Root only."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Nothing is written but what is flushed, as far as ext4 lets one ask for that.
_OPTIONS = "loop,commit=300,noauto_da_alloc"


class Disk:
    """One mounted file system. ``root`` is its folder."""

    def __init__(self, image: Path) -> None:
        self._image = image
        self.root = image.with_suffix(".mounted")
        self.root.mkdir(exist_ok=True)
        self._ballast = self.root / "ballast"

    @classmethod
    def make(cls, image: Path, megabytes: int) -> "Disk":
        """A new, empty one; not yet mounted. CalledProcessError."""
        with image.open("wb") as file:
            file.truncate(megabytes << 20)
        _run("mkfs.ext4", "-q", "-m", "0", "-J", "size=4", "-E", "lazy_itable_init=0", str(image))
        return cls(image)

    @contextmanager
    def mounted(self) -> Iterator[Path]:
        """Its folder, until the block ends. CalledProcessError where mounting is not allowed."""
        _run("mount", "-o", _OPTIONS, str(self._image), str(self.root))
        try:
            yield self.root
        finally:
            _run("umount", str(self.root))

    def cut_off(self, image: Path) -> "Disk":
        """The disk as a loss of power at this moment would leave it: what was flushed, and no more.

        Writes that the file system still holds back are not in the file behind the device. To be called
        while nobody writes.
        """
        shutil.copyfile(self._image, image)
        return Disk(image)

    def fill(self) -> None:
        """Take all the room that is left."""
        with self._ballast.open("wb") as file:
            for size in (1 << 20, 4_096):
                try:
                    while True:
                        os.write(file.fileno(), bytes(size))
                except OSError:
                    continue

    def free(self) -> None:
        """Give the room back."""
        self._ballast.unlink()


def mounting_allowed(folder: Path) -> bool:
    """Whether this process may mount file systems."""
    try:
        with Disk.make(folder / "probe.img", 16).mounted():
            return True
    except (OSError, subprocess.CalledProcessError):
        return False


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
