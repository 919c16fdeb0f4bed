"""Checkpoints on disk: whole, or not there.

One is written into a folder of another name, gets a list of its files, and only then its own name. It is
both what an engine serves (weights, configuration, tokenizer, image processor) and what training continues
from (``training/``). Needs no PyTorch.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from personavlm.platform.engines.checkpoint import Checkpoint

MANIFEST = "manifest.json"
_NAME = re.compile(r"step-(\d{8})")
_WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".index.json", ".gguf")


@dataclass(frozen=True, slots=True)
class Saved:
    """A whole checkpoint."""

    path: Path
    step: int

    @property
    def training(self) -> Path:
        """The folder with what only training needs."""
        return self.path / "training"

    @property
    def state(self) -> dict[str, Any]:
        """What the loop kept: its cursor and counters."""
        state: dict[str, Any] = json.loads((self.path / MANIFEST).read_text(encoding="utf-8"))["state"]
        return state


@dataclass(frozen=True, slots=True)
class SavedCheckpoints:
    """The checkpoints of a run, in one folder that all nodes share."""

    folder: Path
    keep: int

    def newest(self) -> Saved | None:
        """The last whole one."""
        return max(self._whole(), key=lambda one: one.step, default=None)

    def begin(self, step: int) -> Path:
        """An empty folder to write into. One process calls it."""
        partial = self.partial(step)
        shutil.rmtree(partial, ignore_errors=True)
        (partial / "training").mkdir(parents=True)
        return partial

    def partial(self, step: int) -> Path:
        """Where the checkpoint of ``step`` is while it is written."""
        return self.folder / f".step-{step:08}"

    def complete(self, step: int, state: Mapping[str, Any]) -> Saved:
        """Make what was written the checkpoint of ``step``, and remove the oldest. One process calls it."""
        partial, final = self.partial(step), self.folder / f"step-{step:08}"
        files = {str(one.relative_to(partial)): one.stat().st_size for one in _files(partial)}
        for name in files:
            _flush(partial / name)
        text = json.dumps({"step": step, "files": files, "state": dict(state)}, indent=1)
        (partial / MANIFEST).write_text(text, encoding="utf-8")
        _flush(partial / MANIFEST)
        shutil.rmtree(final, ignore_errors=True)
        partial.rename(final)
        _flush(self.folder)
        for old in sorted(self._whole(), key=lambda one: one.step)[: -self.keep]:
            shutil.rmtree(old.path)
        return Saved(final, step)

    def abandon(self, step: int) -> None:
        """Remove what was begun."""
        shutil.rmtree(self.partial(step), ignore_errors=True)

    def _whole(self) -> list[Saved]:
        found = [(one, _NAME.fullmatch(one.name)) for one in self.folder.glob("step-*")]
        return [Saved(one, int(name[1])) for one, name in found if name and _is_whole(one)]


def copy_around_weights(checkpoint: Checkpoint, folder: Path) -> None:
    """Copy what belongs to a checkpoint but its weights: configuration, tokenizer, image processor."""
    for file in checkpoint.path.iterdir():
        if file.is_file() and not file.name.endswith(_WEIGHTS) and file.name != MANIFEST:
            shutil.copyfile(file, folder / file.name)


def _is_whole(folder: Path) -> bool:
    try:
        files = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["files"]
        return all((folder / name).stat().st_size == size for name, size in files.items())
    except (OSError, ValueError, KeyError):
        return False


def _files(folder: Path) -> list[Path]:
    return sorted(one for one in folder.rglob("*") if one.is_file())


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
