"""Figures of a step, and where they are kept: JSON Lines, TensorBoard, rollouts beside them."""

from __future__ import annotations

import json
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from personavlm.jobs.rollouts.records import Record, append_records
from personavlm.jobs.trajectories import Weighted


def batch_figures(
    records: Sequence[Record], rows: Sequence[Weighted], seconds: float, groups: int
) -> dict[str, float]:
    """Means over the rollouts that have a reward, and counts."""
    judged = [record for record in records if record.reward is not None]
    sampled = sum(sum(row.trajectory.mask) for row in rows)
    by_group = defaultdict[int, set[float]](set)
    for record in judged:
        by_group[record.group].add(record.reward or 0.0)
    figures = {
        "rollouts": float(len(records)),
        "groups": float(groups),
        "failed": float(len(records) - len(judged)),
        "alike_groups": sum(len(rewards) == 1 for rewards in by_group.values()) / max(1, groups),
        "rollout_seconds": seconds,
        "rollout_tokens_per_second": sampled / max(1e-9, seconds),
        "versions": float(len({version for record in judged for version in record.versions})),
    }
    if judged:
        figures["reward"] = statistics.fmean(record.reward or 0.0 for record in judged)
        for name in judged[0].parts:
            figures[f"reward_{name}"] = statistics.fmean(record.parts[name] for record in judged)
    return figures


class RunLog:
    """The files of a run."""

    def __init__(self, output: Path) -> None:
        from tensorboardX import SummaryWriter

        self._metrics, self._rollouts = output / "metrics.jsonl", output / "rollouts"
        self._rollouts.mkdir(parents=True, exist_ok=True)
        self._board = SummaryWriter(str(output / "tensorboard"))
        self.newest: dict[str, float] = {}

    def write(self, step: int, figures: Mapping[str, float]) -> None:
        """The figures of the update that led to ``step`` updates."""
        self.newest = {"step": float(step), **figures}
        with self._metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps(self.newest) + "\n")
        for name, value in figures.items():
            self._board.add_scalar(name, value, step)
        self._board.flush()

    def keep(self, records: Sequence[Record]) -> None:
        """The rollouts of one step, in a file of their own."""
        if records:
            append_records(self._rollouts / f"step-{records[0].step:08}.jsonl", records)


def read_metrics(path: Path) -> list[dict[str, float]]:
    """Figures by step, the last ones of a step that was done again; nothing where no step was made."""
    if not path.exists():
        return []
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.endswith("}")]
    by_step = {line["step"]: line for line in lines}
    return [by_step[step] for step in sorted(by_step)]
