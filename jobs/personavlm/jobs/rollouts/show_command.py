"""``personavlm rollouts show``: what the policy thought, searched for, found and answered, and its reward."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.text import Text

from personavlm.jobs.rollouts.records import Record, RecordedStep, read_records


def show(path: Path, limit: int, step: int | None, question: str | None, console: Console) -> int:
    """Print the rollouts of a file. Raises `CommandError`."""
    wanted = (
        record
        for record in read_records(path)
        if (step is None or record.step == step) and (question is None or record.question == question)
    )
    shown = 0
    for shown, record in enumerate(islice(wanted, limit), 1):  # noqa: B007 - the last number is the count
        console.print(panel(record))
    if not shown:
        console.print("no rollout matches")
    return 0


def panel(record: Record) -> Panel:
    """One rollout."""
    asked = Text.assemble(("asked  ", "bold"), record.text)
    answer = Text.assemble(("answer ", "bold"), record.answer or "-", ("   gold ", "bold"), record.gold)
    parts: list[RenderableType] = [asked, *_steps(record.steps), answer, _verdict(record)]
    title = Text(f"step {record.step} · group {record.group} · {record.question} {record.kind}")
    return Panel(Group(*parts), title=title, title_align="left")


def _steps(steps: Iterable[RecordedStep]) -> Iterable[Text]:
    for number, step in enumerate(steps, 1):
        yield Text.assemble((f"think {number} ", "bold cyan"), step.thinking or "-")
        if step.action == "retrieve":
            window = f" from {step.start or '…'} to {step.end or '…'}" if step.start or step.end else ""
            yield Text.assemble(("search  ", "bold green"), f"{step.keywords}{window}")
            yield Text(f"found {len(step.found)}: {step.shown}", "dim")
        if step.repaired:
            yield Text.assemble(("mended  ", "bold yellow"), step.repaired)


def _verdict(record: Record) -> Text:
    if record.reward is None:
        return Text(f"dropped: {record.failure}", "bold red")
    parts = "  ".join(f"{name} {value:.2f}" for name, value in record.parts.items())
    advantage = "-" if record.advantage is None else f"{record.advantage:+.2f}"
    versions = ", ".join(record.versions)
    return Text.assemble(
        (f"reward {record.reward:.2f}", "bold"), f"  advantage {advantage}  {parts}  weights {versions}"
    )
