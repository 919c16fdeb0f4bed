"""What a replay prints at its end: recall of evidence and right answers by task, and how fast it went."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from personavlm.deployments.replay import Answered, ReplayResult


def print_result(result: ReplayResult, console: Console) -> None:
    """Two tables; the first only where questions were asked."""
    if result.answers:
        console.print(_by_task(result.answers))
    if result.unmapped_evidence:
        console.print(f"Evidence that names no turn of its history: {len(result.unmapped_evidence)}")
    console.print(_speed(result))


def _by_task(answers: Sequence[Answered]) -> Table:
    caption = "retrieved: turns found themselves or behind a found memory; recall: expected ones among them"
    table = Table(title="Evidence recall and answers", caption=caption)
    table.add_column("task", no_wrap=True)
    for name in ("asked", "recall", "complete", "retrieved", "right"):
        table.add_column(name, justify="right")
    tasks = sorted({answer.task for answer in answers})
    for task in tasks:
        table.add_row(task, *_row([answer for answer in answers if answer.task == task]))
    table.add_section()
    table.add_row("all", *_row(answers))
    return table


def _row(answers: Sequence[Answered]) -> tuple[str, ...]:
    recalls = [answer.recall for answer in answers if answer.recall is not None]
    checked = [answer.right for answer in answers if answer.right is not None]
    return (
        str(len(answers)),
        f"{fmean(recalls):.1%}" if recalls else "-",
        f"{sum(recall == 1 for recall in recalls)}/{len(recalls)}" if recalls else "-",
        f"{fmean(len(answer.retrieved) for answer in answers):.1f}",
        f"{sum(checked)}/{len(checked)}" if checked else "-",
    )


def _speed(result: ReplayResult) -> Table:
    table = Table(title="Speed")
    for name in ("", "count", "seconds", "per second"):
        table.add_column(name, justify="left" if not name else "right")
    until_remembered = result.import_s + result.update_s
    rows = [
        (f"turns stored ({result.messages:,} messages)", result.turns, result.import_s),
        ("turns stored and remembered", result.turns, until_remembered),
        ("questions answered", len(result.answers), result.question_s),
    ]
    for name, count, seconds in rows:
        if count:
            table.add_row(name, f"{count:,}", f"{seconds:.1f}", f"{count / seconds:.1f}")
    return table
