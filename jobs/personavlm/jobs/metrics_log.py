"""Figures of a run: one JSON object for each step, and the same for TensorBoard."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from personavlm.platform.errors import CommandError

FILE = "metrics.jsonl"


class MetricsLog:
    """Appends to ``metrics.jsonl`` and to ``tensorboard/`` of a run's folder."""

    def __init__(self, output: Path, step: int) -> None:
        """Continue behind ``step``: what a run that was cut off wrote of later steps is dropped."""
        try:
            from tensorboardX import SummaryWriter
        except ModuleNotFoundError as error:
            raise CommandError("training needs the extra `train`: pip install 'personavlm[train]'") from error
        path = output / FILE
        kept = [line for line in read_metrics(output) if line["step"] <= step]
        path.write_text("".join(json.dumps(line) + "\n" for line in kept), encoding="utf-8")
        self._file = path.open("a", encoding="utf-8", buffering=1)
        self._board = SummaryWriter(str(output / "tensorboard"), purge_step=step + 1)

    def add(self, step: int, figures: Mapping[str, float]) -> None:
        """Keep the figures of one step."""
        self._file.write(json.dumps({"step": step, **figures}) + "\n")
        for name, value in figures.items():
            self._board.add_scalar(name, value, step)

    def close(self) -> None:
        """Write what is still held back."""
        self._file.close()
        self._board.close()


def read_metrics(output: Path) -> list[dict[str, float]]:
    """All whole lines of a run's figures, in order."""
    path = output / FILE
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")]
