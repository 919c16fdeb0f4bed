"""Examples on disk, mapped into memory: any of them is there at once, however many there are."""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from personavlm.jobs.images import ImageFolder
from personavlm.jobs.trajectories import Example
from personavlm.platform.errors import CommandError

INDEX = "examples.json"


@dataclass(frozen=True, slots=True)
class ExampleFiles:
    """``ids`` and ``mask`` of all examples behind one another.

    Example i is from ``starts[i]`` to ``starts[i + 1]``. ``images`` holds the images that examples name;
    ``names`` are those of each example that has any.
    """

    ids: npt.NDArray[np.int32]
    mask: npt.NDArray[np.bool_]
    starts: npt.NDArray[np.int64]
    names: dict[int, tuple[str, ...]]
    images: ImageFolder

    @classmethod
    def open(cls, folder: Path) -> ExampleFiles:
        """Map a folder that `write_examples` wrote. Raises `CommandError` for any other."""
        try:
            index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
            ids, mask, starts = (np.load(folder / f"{name}.npy", "r") for name in ("ids", "mask", "starts"))
        except (OSError, ValueError) as error:
            raise CommandError(f"{folder} holds no whole examples: {error}") from error
        names = {int(at): tuple(found) for at, found in index["names"].items()}
        return cls(ids, mask, starts, names, ImageFolder(Path(index["images"])))

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __getitem__(self, at: int) -> Example:
        part = slice(int(self.starts[at]), int(self.starts[at + 1]))
        ids, mask = self.ids[part].tolist(), self.mask[part].tolist()
        return Example(tuple(ids), tuple(mask), self.names.get(at, ()))


def write_examples(examples: Iterable[Example], images: ImageFolder, folder: Path) -> int:
    """Write examples whose images are in ``images``; how many. The folder counts only once it is whole."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / INDEX).unlink(missing_ok=True)
    ids, mask, starts, names = array("i"), array("b"), array("q", [0]), {}
    for at, example in enumerate(examples):
        ids.extend(example.ids)
        mask.extend(example.mask)
        starts.append(len(ids))
        if example.images:
            names[at] = example.images
    np.save(folder / "ids.npy", np.frombuffer(ids, np.int32))
    np.save(folder / "mask.npy", np.frombuffer(mask, np.int8).astype(np.bool_))
    np.save(folder / "starts.npy", np.frombuffer(starts, np.int64))
    index = json.dumps({"names": names, "images": str(images.path.absolute())})
    partial = folder / f".{INDEX}"
    partial.write_text(index, encoding="utf-8")
    partial.replace(folder / INDEX)
    return len(starts) - 1


def is_example_folder(path: Path) -> bool:
    """Whether `write_examples` finished here."""
    return (path / INDEX).is_file()
