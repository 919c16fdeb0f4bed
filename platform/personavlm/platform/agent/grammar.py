"""What a completion says: a thought, then exactly one action.

    <think>why</think><answer>text for the user</answer>
    <think>why</think><retrieve>{"keywords": "a, b", "start_time": "2026-05-17 14:05"}</retrieve>

The body of a retrieval may also be three ``"key": value`` lines without braces, as the weights of PersonaVLM
write it. Whatever a model writes becomes a step; `Step.repaired` says what had to be mended.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, tzinfo

from personavlm.memory_store.queries import Window
from personavlm.platform.agent.scanner import Scanner

Repairs = tuple[str, ...]

_FIELD = re.compile(
    r"""["']?\b(?P<key>keywords|start_time|end_time)\b["']?\s*:\s*
        (?:"(?P<quoted>(?:[^"\\]|\\.)*)"
         | (?P<bare>[^\n]*?)(?=\n|\Z|,\s*["']?(?:keywords|start_time|end_time)\b["']?\s*:))""",
    re.VERBOSE,
)
# Prompts show the weekday behind the time, and models copy it.
_TIME = re.compile(
    r"""(?P<year>\d{4})[-/.](?P<month>\d{1,2})[-/.](?P<day>\d{1,2})
        (?:(?:\s+|T)(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:\.\d+)?)?)?
        (?P<offset>\s*(?:Z|[+-]\d{2}:?\d{2}))?
        (?:,?\s*\(?(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*\)?)?""",
    re.VERBOSE | re.ASCII | re.IGNORECASE,
)
_PARTS = ("year", "month", "day", "hour", "minute", "second")
_ABSENT = frozenset(("", "null", "none", "n/a", "unknown"))
_WHOLE = {"day": timedelta(days=1), "minute": timedelta(minutes=1), "second": timedelta(seconds=1)}
_TICK = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Retrieve:
    """Search memory. The window is closed and in UTC."""

    keywords: str
    window: Window = Window()


@dataclass(frozen=True, slots=True)
class Answer:
    """Reply to the user. Empty only where a completion held nothing that could be shown."""

    text: str


@dataclass(frozen=True, slots=True)
class Step:
    """One completion, understood.

    ``malformed``: it held no usable action, and the one given here stands in for it.
    """

    thinking: str
    action: Retrieve | Answer
    repaired: str = ""
    malformed: bool = False


def parse(text: str, query: str = "", zone: tzinfo = UTC, *, accept_plain: bool = False) -> Step:
    """Read a whole completion. Never raises.

    ``query`` is the user's message, which a malformed completion searches for. ``zone`` is the user's local
    time, in which bounds without an offset are meant. With ``accept_plain`` a malformed completion is
    answered with its text outside all blocks instead.
    """
    scanner = Scanner()
    scanner.feed(text)
    scanner.finish()
    if scanner.complete == "answer":
        after = Scanner()
        after.feed(text[scanner.consumed :])
        if after.complete == "retrieve":
            after.thinking, after.thoughts = scanner.thinking, scanner.thoughts
            step = read_step(after, query, zone, accept_plain=accept_plain)
            return replace(step, repaired=_join("a retrieval after the answer goes first", step.repaired))
    return read_step(scanner, query, zone, accept_plain=accept_plain)


def read_step(scanner: Scanner, query: str, zone: tzinfo, *, accept_plain: bool) -> Step:
    """The step that a finished scan amounts to; see `parse`."""
    repairs = _thought_repairs(scanner)
    fields = _fields(scanner.body)
    if fields:
        return _retrieval(scanner.thinking, fields, query, zone, repairs)
    answer = scanner.answer.strip()
    if answer:
        repairs += () if scanner.complete else ("the answer was not closed",)
        return Step(scanner.thinking.strip(), Answer(answer), _join(*repairs))
    return _malformed(scanner.thinking, scanner.plain.strip(), query, accept_plain)


def read_time(text: str, zone: tzinfo, *, end: bool = False) -> datetime | None:
    """A bound in UTC, or ``None`` if ``text`` is no time. An ``end`` takes in its whole day or minute."""
    found = _TIME.fullmatch(text.strip())
    if found is None:
        return None
    precision = "second" if found["second"] else "minute" if found["minute"] else "day"
    try:
        year, month, day, hour, minute, second = (int(found[part] or 0) for part in _PARTS)
        time = datetime(year, month, day, hour, minute, second, tzinfo=_offset(found["offset"]) or zone)
        return (time + _WHOLE[precision] - _TICK if end else time).astimezone(UTC)
    except (ValueError, OverflowError):  # 30 February, or the year 9999 in a zone west of Greenwich
        return None


def _offset(text: str | None) -> tzinfo | None:
    return datetime.fromisoformat(f"2000-01-01T00:00{text.strip()}").tzinfo if text else None


def _thought_repairs(scanner: Scanner) -> Repairs:
    return () if scanner.thoughts else ("no thought",)


def _join(*repairs: str) -> str:
    return "; ".join(filter(None, repairs))


def _malformed(thinking: str, plain: str, query: str, accept_plain: bool) -> Step:
    if accept_plain:
        repaired = "no action: its plain text is the answer"
        return Step(thinking.strip(), Answer(plain), repaired, malformed=True)
    repaired = "no action: searched for the message"
    return Step(thinking.strip(), Retrieve(query.strip()), repaired, malformed=True)


def _retrieval(thinking: str, fields: dict[str, str], query: str, zone: tzinfo, repairs: Repairs) -> Step:
    keywords = fields.get("keywords", "")
    if not keywords:
        keywords = query.strip()
        repairs += ("no keywords: searched for the message",)
    window, window_repairs = _window(fields, zone)
    return Step(thinking.strip(), Retrieve(keywords, window), _join(*repairs, *window_repairs))


def _window(fields: dict[str, str], zone: tzinfo) -> tuple[Window, Repairs]:
    texts = {key: fields.get(key, "") for key in ("start_time", "end_time")}
    start, end = (read_time(text, zone, end=key == "end_time") for key, text in texts.items())
    repairs = tuple(
        f"{key} is not a time"
        for (key, text), bound in zip(texts.items(), (start, end), strict=True)
        if text and bound is None
    )
    if start and end and start > end:
        return Window(), (*repairs, "the window ended before it started")
    return Window(start, end), repairs


def _fields(body: str) -> dict[str, str]:
    """The fields of a retrieval as texts, absent ones left out; JSON, or whatever reads like a field."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        value = {found["key"]: _field_value(found) for found in _FIELD.finditer(body)}
    if not isinstance(value, dict):
        return {}
    texts = {key: _field_text(value.get(key)) for key in ("keywords", "start_time", "end_time")}
    return {key: text for key, text in texts.items() if text.casefold() not in _ABSENT}


def _field_value(found: re.Match[str]) -> str:
    if found["quoted"] is None:
        return found["bare"].replace('"', "").strip(" \t\r,'[]{}`")
    try:
        return str(json.loads(f'"{found["quoted"]}"'))
    except ValueError:
        return found["quoted"]


def _field_text(item: object) -> str:
    items = item if isinstance(item, list) else [item]
    texts = (str(one) for one in items if isinstance(one, str | int | float))
    return ", ".join(filter(None, (" ".join(text.split()) for text in texts)))
