"""`personavlm replay`: drive a running service with recorded histories, then ask their questions."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from personavlm.deployments.client import Reply, ServiceClient, ServiceError
from personavlm.deployments.replay_report import print_result
from personavlm.platform.histories import (
    History,
    HistoryError,
    HistoryQuestion,
    HistoryTurn,
    evidence_recall,
    is_right,
    load,
)

BATCH = 50  # turns in one request, except that a longer session stays whole up to what the API takes
BATCH_LIMIT = 200
PARALLEL = 4
Item = TypeVar("Item")
Outcome = TypeVar("Outcome")


@dataclass(frozen=True, slots=True)
class Answered:
    """A question and what came of it. ``recall`` and ``right`` are ``None`` where nothing is expected.

    ``window`` holds the ends of the first bounded search as ISO local times; ``retrieved`` the client ids of
    all turns found, directly or as evidence behind a memory.
    """

    user: str
    id: str
    task: str
    question: str
    answer: str
    expected_evidence: tuple[str, ...]
    retrieved: tuple[str, ...]
    recall: float | None
    right: bool | None
    window: tuple[str | None, str | None] | None
    steps: tuple[str, ...]
    ms: float


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """A whole replay. Seconds are wall time: storing the turns, then updating memory, then asking."""

    users: int
    turns: int
    messages: int
    import_s: float
    update_s: float
    question_s: float
    answers: tuple[Answered, ...]
    unmapped_evidence: tuple[str, ...]


def run(args: argparse.Namespace) -> int:
    """The command; its arguments are `file`, `format`, `questions`, `question_file`, `url`, `key`,
    `user` and `json`. The exit status is 1 where something is wrong with the file or the service."""
    key = args.key or os.environ.get("PERSONAVLM_KEY", "")
    if not key:
        return _fail("no API key: give --key or set PERSONAVLM_KEY (personavlm keys create --replay)")
    console = Console()
    try:
        histories = load(args.file, args.format, args.question_file)
        result = asyncio.run(
            replay(args.url, key, histories, questions=args.questions, prefix=args.user, console=console)
        )
    except (HistoryError, ServiceError) as error:
        return _fail(str(error))
    print_result(result, console)
    if args.json:
        args.json.write_text(json.dumps(asdict(result), indent=1, ensure_ascii=False), encoding="utf-8")
    return 0


async def replay(
    url: str,
    key: str,
    histories: Sequence[History],
    *,
    questions: bool,
    prefix: str = "",
    console: Console,
) -> ReplayResult:
    """Import every history, wait until all of it is remembered, then ask the questions if wanted.

    Users go side by side, the turns of one in order, after the facts that its history knows beforehand.
    Raises `ServiceError`.
    """
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
    )
    async with ServiceClient(url, key) as client:
        with bar:
            started = time.perf_counter()
            await _import_all(client, histories, prefix, bar)
            imported = time.perf_counter()
            await _close_all(client, histories, prefix, bar)
            remembered = time.perf_counter()
            answers = await _ask_all(client, histories, prefix, bar) if questions else ()
            asked = time.perf_counter()
    turns = [turn for history in histories for turn in history.turns]
    return ReplayResult(
        users=len(histories),
        turns=len(turns),
        messages=sum(bool(turn.user_text) + bool(turn.assistant_text) for turn in turns),
        import_s=imported - started,
        update_s=remembered - imported,
        question_s=asked - remembered,
        answers=answers,
        unmapped_evidence=tuple(f"{h.user} {entry}" for h in histories for entry in h.unmapped_evidence),
    )


def batches(history: History) -> Iterator[tuple[HistoryTurn, ...]]:
    """The turns in requests of whole sessions, so that no session looks over while its rest is to come."""
    waiting: tuple[HistoryTurn, ...] = ()
    for session in history.sessions():
        if waiting and len(waiting) + len(session) > BATCH:
            yield waiting
            waiting = ()
        waiting += session
        while len(waiting) > BATCH_LIMIT:
            yield waiting[:BATCH_LIMIT]
            waiting = waiting[BATCH_LIMIT:]
    yield waiting


async def _import_all(
    client: ServiceClient, histories: Sequence[History], prefix: str, bar: Progress
) -> None:
    task = bar.add_task("Turns    ", total=sum(len(history.turns) for history in histories))

    async def send(history: History) -> None:
        if history.core:
            await client.set_core(prefix + history.user, history.core, history.turns[0].event_time)
        for batch in batches(history):
            await client.import_turns(prefix + history.user, batch, allow_past=history.runs_backwards)
            bar.advance(task, len(batch))

    await _side_by_side(histories, send)


async def _close_all(client: ServiceClient, histories: Sequence[History], prefix: str, bar: Progress) -> None:
    task = bar.add_task("Updates  ", total=len(histories))

    async def close(history: History) -> None:
        await client.close_sessions(prefix + history.user, _after(history))
        bar.advance(task)

    await _side_by_side(histories, close)


async def _ask_all(
    client: ServiceClient, histories: Sequence[History], prefix: str, bar: Progress
) -> tuple[Answered, ...]:
    asked = [(prefix + history.user, question) for history in histories for question in history.questions]
    task = bar.add_task("Questions", total=len(asked))

    async def ask(item: tuple[str, HistoryQuestion]) -> Answered:
        user, question = item
        reply = await client.ask(user, question)
        bar.advance(task)
        return answered(user, question, reply)

    return tuple(await _side_by_side(asked, ask))


def _after(history: History) -> datetime:
    """A time by which every session of the history is over."""
    newest = max(turn.event_time for turn in history.turns)
    return max([newest + timedelta(days=1), *(question.event_time for question in history.questions)])


def answered(user: str, question: HistoryQuestion, reply: Reply) -> Answered:
    """The question with its reply, scored."""
    window = reply.window
    return Answered(
        user=user,
        id=question.id,
        task=question.task,
        question=question.question,
        answer=reply.answer,
        expected_evidence=question.expected_evidence,
        retrieved=reply.retrieved,
        recall=evidence_recall(question, reply.retrieved),
        right=is_right(question, reply.answer),
        window=window and (_local(window[0], question), _local(window[1], question)),
        steps=tuple(step.action for step in reply.trace.steps),
        ms=round(reply.ms, 1),
    )


def _local(time: datetime | None, question: HistoryQuestion) -> str | None:
    """ISO time in the offset of the question, in which its days are meant."""
    return time.astimezone(question.event_time.tzinfo).isoformat() if time else None


async def _side_by_side(items: Sequence[Item], work: Callable[[Item], Awaitable[Outcome]]) -> list[Outcome]:
    """``work`` on every item, a few at once; the first error ends it. Outcomes in the items' order."""
    slots = asyncio.Semaphore(PARALLEL)

    async def one(item: Item) -> Outcome:
        async with slots:
            return await work(item)

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(item)) for item in items]
    except* (ServiceError, HistoryError) as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]


def _fail(message: str) -> int:
    print(f"personavlm: {message}", file=sys.stderr)
    return 1
