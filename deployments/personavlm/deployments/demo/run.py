"""What the demo does with a running service: replay the history, ask its questions, show what came of it."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from personavlm.deployments.api import Evidence, TraceWindow
from personavlm.deployments.client import Reply, ServiceClient
from personavlm.deployments.demo.personality import personality_table, read_curve
from personavlm.deployments.demo.plot import plot_personality
from personavlm.deployments.replay import Answered, answered
from personavlm.platform.histories import History, HistoryTurn, load

HISTORY_FILE = Path(__file__).parent / "history" / "history.json"
SESSION_GAP = timedelta(minutes=60)
MEMORIES_SHOWN = 4
REPORTED = ("task", "question", "answer", "expected_evidence", "retrieved", "window", "steps", "ms")


@dataclass(frozen=True, slots=True)
class DemoReport:
    """What the demo measured: seconds until the service was ready and of the replay, and every answer."""

    answers: tuple[Answered, ...]
    ready_s: float
    replay_s: float
    turns: int

    def to_json(self) -> dict[str, Any]:
        """The content of ``demo-report.json``."""
        return {
            "questions": [{name: getattr(answer, name) for name in REPORTED} for answer in self.answers],
            "ready_s": round(self.ready_s, 2),
            "replay_s": round(self.replay_s, 2),
            "turns": self.turns,
        }

    def write(self, path: Path) -> None:
        """Write it as JSON."""
        path.write_text(json.dumps(self.to_json(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


async def run(base_url: str, key: str, *, ready_s: float, plot: Path, console: Console) -> DemoReport:
    """Replay, ask, show the personality. ``key`` may replay; ``ready_s`` is reported as given.

    Raises `ServiceError`.
    """
    [history] = load(HISTORY_FILE, "personavlm")
    console.print(f"\n[bold]{history.description}[/bold]", soft_wrap=True)
    async with ServiceClient(base_url, key) as client:
        start = time.perf_counter()
        await live_through(client, history, console)
        replay_s = time.perf_counter() - start
        answers = await ask_questions(client, history, console)
        await show_personality(client, history, plot, console)
        show_how_to_talk(base_url, key, await client.model(), history.user, console)
    return DemoReport(answers, ready_s, replay_s, len(history.turns))


async def live_through(client: ServiceClient, history: History, console: Console) -> None:
    """Send session by session; each is closed, and remembered, before the next begins."""
    bar = Progress(
        BarColumn(24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("[cyan]{task.fields[day]}[/cyan] {task.fields[words]}"),
        console=console,
    )
    with bar:
        task = bar.add_task("", total=len(history.turns), day="", words="")
        for session in history.sessions(SESSION_GAP):
            bar.update(task, day=f"{session[0].event_time:%a %-d %b}", words=_words(session[0]))
            await client.import_turns(history.user, session)
            await client.close_sessions(history.user, session[-1].event_time + SESSION_GAP)
            bar.advance(task, len(session))
        bar.update(task, day="", words="remembered")


async def ask_questions(client: ServiceClient, history: History, console: Console) -> tuple[Answered, ...]:
    """Ask one at a time, so that the milliseconds of each are its own, and show what came of it."""
    answers = []
    for number, question in enumerate(history.questions, start=1):
        reply = await client.ask(history.user, question)
        answer = answered(history.user, question, reply)
        answers.append(answer)
        image = f" [{Path(question.images[0].path).name}]" if question.images else ""
        console.print(f"\n[bold]{number}. {question.task}[/bold]: {escape(question.question + image)}")
        _show_answer(answer, reply, question.event_time.tzinfo, console)
    console.print(_summary(answers), soft_wrap=True)
    return tuple(answers)


def _show_answer(answer: Answered, reply: Reply, zone: tzinfo | None, console: Console) -> None:
    console.print(f"   [green]{escape(answer.answer)}[/green]")
    for step in reply.trace.steps:
        if step.action == "retrieve":
            window = _days(step.window, zone)
            console.print(f"   searched {escape(repr(step.keywords))}{window}: {len(step.found)} found")
    found = sorted(reply.trace.evidence, key=lambda one: not _needed(one, answer))
    room = console.width - 26  # one line each, beside the mark, the kind and the day
    for one in found[:MEMORIES_SHOWN]:
        mark = "[green]●[/green]" if _needed(one, answer) else "○"
        console.print(f"   {mark} {one.kind}, {one.time:%-d %b}: {escape(_short(one.text, room))}")
    if len(found) > MEMORIES_SHOWN:
        console.print(f"     and {len(found) - MEMORIES_SHOWN} more")
    console.print(f"   [dim]{_verdict(answer)}, {answer.ms:.0f} ms[/dim]")


def _days(window: TraceWindow, zone: tzinfo | None) -> str:
    """The window in local days, or nothing where it is open on both sides."""

    def day(time: datetime | None) -> str:
        return f"{time.astimezone(zone):%-d %b}" if time else "…"

    return f" from {day(window.start)} to {day(window.end)}" if window.start or window.end else ""


def _needed(found: Evidence, answer: Answered) -> bool:
    return any(id in answer.expected_evidence for id in found.client_ids)


def _verdict(answer: Answered) -> str:
    if answer.recall is None:
        return "needs no memory"
    if answer.recall == 1:
        return "needed evidence retrieved"
    if "retrieve" not in answer.steps:
        return "answered without a search"
    missing = [id for id in answer.expected_evidence if id not in answer.retrieved]
    return f"needed evidence not retrieved: {', '.join(missing)}"


def _summary(answers: Sequence[Answered]) -> str:
    needing = [answer for answer in answers if answer.recall is not None]
    complete = sum(answer.recall == 1 for answer in needing)
    checked = [answer.right for answer in answers if answer.right is not None]
    return (
        f"\n[bold]Needed evidence retrieved for {complete} of {len(needing)} questions;[/bold] "
        f"{sum(checked)} of {len(checked)} answers with a known wording are right."
    )


async def show_personality(client: ServiceClient, history: History, plot: Path, console: Console) -> None:
    """The curve in the terminal, and as the PNG ``plot``."""
    profile = await client.profile(history.user)
    curve = read_curve(profile, history.turns[0].event_time, history.questions[-1].event_time)
    console.print()
    console.print(personality_table(curve, profile["descriptors"]))
    plot_personality(curve, plot, f"Personality inferred from the messages of {history.user.title()}")
    console.print(f"The same curve as a picture: {plot}")


def show_how_to_talk(base_url: str, key: str, model: str, user: str, console: Console) -> None:
    """Three ways to go on from here; printed unwrapped, to be copied."""
    message = '{"role": "user", "content": "What is my favourite drink?"}'
    console.print(f"\n[bold]Talk to it[/bold] at {base_url}/ in a browser (key {key}, user {user}), or")
    lines = f"""
curl {base_url}/v1/chat/completions -H 'Authorization: Bearer {key}' \\
  -H 'Content-Type: application/json' \\
  -d '{{"model": "{model}", "user": "{user}", "messages": [{message}]}}'

from openai import OpenAI
client = OpenAI(base_url="{base_url}/v1", api_key="{key}")
reply = client.chat.completions.create(
    model="{model}", user="{user}", messages=[{message}]
)
print(reply.choices[0].message.content)
"""
    console.print(lines, markup=False, highlight=False, soft_wrap=True)


def _words(turn: HistoryTurn) -> str:
    return escape(_short(turn.user_text, 36))


def _short(text: str, length: int) -> str:
    one_line = " ".join(text.split())
    return one_line if len(one_line) <= length else one_line[: length - 1].rstrip() + "…"
