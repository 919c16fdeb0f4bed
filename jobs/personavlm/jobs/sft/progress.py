"""A live line while learners work, read from the run's figures."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from personavlm.jobs.metrics_log import read_metrics

INTERVAL_S = 1.0


@contextmanager
def shown(output: Path, steps: int) -> Iterator[None]:
    """Show step, loss, rate and speed, until the block ends."""
    columns = (TextColumn("SFT"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
    ended = Event()
    with Progress(*columns, TimeRemainingColumn()) as progress:
        task = progress.add_task("learners start", total=steps)

        def show() -> None:
            if lines := read_metrics(output):
                progress.update(task, completed=int(lines[-1]["step"]), description=_line(lines[-1]))

        def follow() -> None:
            while not ended.wait(INTERVAL_S):
                show()

        thread = Thread(target=follow, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
            show()


def _line(figures: dict[str, float]) -> str:
    return (
        f"loss {figures['loss']:.3f}  rate {figures['learning_rate']:.1e}  "
        f"gradient {figures['gradient_norm']:.2f}  {figures['tokens_per_second']:,.0f} tokens/s"
    )
