"""The episodic step of a closed session: its topics, each with the turns that it consists of."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from personavlm.memory_store.records import Add, MemoryKind, Turn, UserKey
from personavlm.platform.updates.applying import Read, apply, report_dropped
from personavlm.platform.updates.asking import Asker, Question
from personavlm.platform.updates.conversion import Conversion
from personavlm.platform.updates.operations import Shown, read_operations
from personavlm.platform.updates.schemas import operations_schema
from personavlm.platform.updates.settings import UpdateSettings
from personavlm.platform.updates.view import core_rows, shown, turn_rows

MAX_TOKENS = 2048
MAX_TOPICS = 12
FALLBACK_CHARS = 160  # of each turn, where no topic could be read at all


async def remember_episodes(
    asker: Asker, settings: UpdateSettings, user: UserKey, turns: Sequence[Turn], source: str
) -> None:
    """Divide a session into topics that cover all of its turns. Raises `EngineError`."""
    core = await asyncio.to_thread(asker.store.memories, user, MemoryKind.CORE)
    view = shown(turns, ())
    question = Question(
        "episodic",
        {"core": core_rows(core), "turns": turn_rows(view, settings.context_chars)},
        operations_schema(MemoryKind.EPISODIC, view, MAX_TOPICS),
        MAX_TOKENS,
    )
    read = await asker.ask(user, question, read_operations)
    topics = cover(_topics(read, view, source) if read else [], turns)
    await asyncio.to_thread(apply, asker.store, user, MemoryKind.EPISODIC, source, topics)


def cover(topics: Sequence[Add], turns: Sequence[Turn]) -> tuple[Add, ...]:
    """The topics with every turn in at least one: a stray turn goes to the topic nearest in time.

    Without any topic the whole session is one.
    """
    if not topics:
        return (_whole(turns),)
    by_id = {turn.id: turn for turn in turns}
    named = [[by_id[turn_id] for turn_id in topic.evidence] for topic in topics]
    members = [list(own) for own in named]
    covered = {turn_id for topic in topics for turn_id in topic.evidence}
    for turn in turns:
        if turn.id not in covered:
            nearest = min(range(len(named)), key=lambda i: _distance(turn, named[i]))
            members[nearest].append(turn)
    return tuple(
        _spanning(topic, sorted(own, key=lambda turn: turn.index))
        for topic, own in zip(topics, members, strict=True)
    )


def _topics(read: Read, view: Shown, source: str) -> list[Add]:
    proposals, dropped = read
    conversion = Conversion(MemoryKind.EPISODIC, view, ())
    topics = [operation for operation in conversion.convert(proposals) if isinstance(operation, Add)]
    report_dropped(MemoryKind.EPISODIC, source, (*dropped, *conversion.dropped))
    return topics


def _distance(turn: Turn, topic: Sequence[Turn]) -> tuple[timedelta, int]:
    """How far a turn lies from the nearest turn of a topic: in time, then in order."""
    return min((abs(turn.event_time - other.event_time), abs(turn.index - other.index)) for other in topic)


def _spanning(topic: Add, turns: Sequence[Turn]) -> Add:
    times = [turn.event_time for turn in turns]
    evidence = tuple(turn.id for turn in turns)
    return replace(topic, evidence=evidence, event_time=min(times), end_time=max(times))


def _whole(turns: Sequence[Turn]) -> Add:
    said = (turn.user_text or turn.assistant_text for turn in turns)
    text = " / ".join(piece[:FALLBACK_CHARS] for piece in said if piece)[:1200] or "Pictures without words."
    topic = Add(text=text, event_time=turns[0].event_time, evidence=(), session=turns[0].session)
    return _spanning(topic, turns)
