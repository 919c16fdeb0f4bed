"""How a question about a made-up life is answered from what a prompt shows, and from nothing else."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from personavlm.jobs.synthesize.asks import Ask
from personavlm.platform.agent.prompting import shown_time
from personavlm.platform.engines.base import Segment
from personavlm.platform.prompts.render import read_rows

Row = dict[str, Any]
AT_HAND = ("core", "conversation")
FOUND = ("procedural", "semantic", "visual", "episodes", "turns")
PRONOUNCED = 0.25  # distance from 3 from which a trait's score decides


def reply_target(ask: Ask, segments: Sequence[Segment]) -> str:
    """The next step: look something up, or answer with what has been shown so far."""
    prompts = [read_rows(segment.text) for segment in segments if segment.role == "user"]
    found = [row for prompt in prompts[1:] for name in FOUND for row in prompt.get(name, ())]
    if ask.kind == "tailored":
        return _tailored(ask, prompts[0].get("personality", ()))
    at_hand = [row for name in AT_HAND for row in prompts[0].get(name, ())]
    told = _evidence(ask, [*([] if ask.window else at_hand), *found])
    if told is not None:
        return _answer(ask, told)
    left = prompts[-1].get("remaining", [{"retrievals": 1}])[0]["retrievals"]
    tried = len(prompts) - 1
    if left and tried < (2 if ask.then or ask.window else 1):
        return _lookup(ask, tried)
    return _block("Nothing that I have seen tells this.", "answer", _not_known(ask))


def settled(ask: Ask, segments: Sequence[Segment]) -> bool:
    """Whether the last step gives the right answer, and all that it needs was shown before it."""
    if ask.kind == "absent":
        return True
    answer = segments[-1].text
    shown = [segment for segment in segments if segment.role == "user"]
    rows = [
        row
        for segment in shown
        for name in (*AT_HAND, *FOUND)
        for row in read_rows(segment.text).get(name, ())
    ]
    right = ask.letter in answer if ask.options else ask.gold.casefold() in answer.casefold()
    return right and _evidence(ask, rows) is not None


def _evidence(ask: Ask, rows: Sequence[Row]) -> list[Row] | None:
    """For each group of words the row that tells it, those from the time asked for; ``None`` if any lacks."""
    found = []
    for group in ask.needs:
        telling = [row for row in rows if _tells(row, group) and _in_time(row, ask)]
        if not telling:
            return None
        found.append(telling[-1])
    return found


def _tells(row: Row, words: Sequence[str]) -> bool:
    text = f"{row.get('key', '')} {_said(row)}".casefold()
    return all(word.casefold() in text for word in words)


def _in_time(row: Row, ask: Ask) -> bool:
    if ask.window is None or "time" not in row:
        return ask.window is None
    return f"{ask.window[0]:%Y-%m-%d %H:%M}" <= row["time"][:16] <= f"{ask.window[1]:%Y-%m-%d %H:%M}"


def _said(row: Row) -> str:
    """What a row tells; of a turn only what the user said."""
    return str(row.get("text") or row.get("user") or "")


def _lookup(ask: Ask, tried: int) -> str:
    """First what the question names; then what the first lookup led to, or the same at any time."""
    keywords = ask.then if tried and ask.then else ask.keywords
    start, end = (None, None) if tried or ask.window is None else map(_bound, ask.window)
    when = f" on {ask.window[0]:%A %-d %B}" if start and ask.window else ""
    thought = f"I look up {' and '.join(keywords)}{when}."
    if tried:
        thought = f"That does not settle it yet. {thought}"
    body = {"keywords": ", ".join(keywords), "start_time": start, "end_time": end}
    return _block(thought, "retrieve", json.dumps(body, ensure_ascii=False))


def _bound(time: datetime) -> str:
    return shown_time(time, time.tzinfo)[:16] if time.tzinfo else ""


def _answer(ask: Ask, told: Sequence[Row]) -> str:
    quotes = " ".join(f"“{_said(row).strip()}”" for row in told)
    reply = f"{ask.letter} {_sentence(ask.gold)}" if ask.options else _sentence(ask.gold)
    return _block(f"It says: {quotes} So it is {ask.gold}.", "answer", reply)


def _tailored(ask: Ask, personality: Sequence[Row]) -> str:
    """The reply for somebody with this much of the trait, if the profile shows enough of it."""
    row = next((row for row in personality if row["trait"] == ask.trait), None)
    if row is None or abs(row["score"] - 3) < PRONOUNCED:
        return _block("The profile does not say enough.", "answer", _not_known(ask))
    thought = f"Someone who is {row['descriptor']} would like that one: {ask.gold}"
    return _block(thought, "answer", f"{ask.letter} {ask.gold}")


def _not_known(ask: Ask) -> str:
    return "You have not told me about that." if ask.kind == "absent" else "I do not remember that."


def _block(thought: str, name: str, body: str) -> str:
    return f"<think>{thought}</think><{name}>{body}</{name}>"


def _sentence(text: str) -> str:
    text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "!", "?")) else f"{text}."
