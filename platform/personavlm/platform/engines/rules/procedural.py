"""Goals, habits and routines by patterns, and how they end: reached, given up or changed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from personavlm.platform.engines.base import Conversation
from personavlm.platform.engines.rules.absolute_dates import local_time, with_absolute_dates
from personavlm.platform.engines.rules.patterns import Patterns
from personavlm.platform.engines.rules.statements import (
    trimmed,
    with_what_it_leans_on,
    without_filler,
    without_question,
)
from personavlm.platform.engines.rules.words import content_words, sentences, stems
from personavlm.platform.prompts.render import read_rows

Row = dict[str, Any]

MOST_ENTRIES = 8  # beyond it only what is there changes
KEY_WORDS = 2
AKIN = 0.5  # share of common stems from which two habits are one

_PATTERNS = Patterns(Path(__file__).with_name("procedural.yaml"))
_GOAL, _HABIT = _PATTERNS.one("goal"), _PATTERNS.one("habit")
_REACHED, _GIVEN_UP = _PATTERNS.one("reached"), _PATTERNS.one("given_up")
_FIRST_PERSON = re.compile(
    r"\b(?:i|i'm|i've|i'd|i'll|we|we're|we've)\b"
    r"|\bmy (?:\w+ )?(?:routine|habit|ritual|goal|dream|resolution|aim|target|plan)\b",
    re.IGNORECASE,
)
# Words that many habits share without being about the same.
_GENERIC = stems(
    "want plan goal dream training learning saving working usually day morning evening week weekend month"
    " year monday tuesday wednesday thursday friday saturday sunday start new finish finally work"
    " time home go"
)


def respond(conversation: Conversation) -> str:
    """Operations for one session as the JSON object that the prompt asks for."""
    data = read_rows(conversation.segments[0].text)
    entries = {row["id"]: row for row in data["procedural"]}
    operations: dict[str, Row] = {}
    for turn, sentence in _statements(data["turns"]):
        proposed = _ending(sentence, entries) or _revision(turn, sentence, entries)
        if proposed:
            name = proposed.get("id") or proposed["key"]
            operations[name] = proposed | {"evidence": [turn["id"]]}
            if proposed["op"] == "add":
                entries[name] = {"id": "", "key": name, "text": sentence}
    return json.dumps({"operations": list(operations.values())}, ensure_ascii=False)


def _statements(turns: list[Row]) -> Iterator[tuple[Row, str]]:
    for turn in turns:
        before = ""
        for raw in sentences(turn["user"].replace("\u2019", "'")):
            sentence = without_question(without_filler(raw))
            if not sentence or sentence.endswith("?"):
                continue
            whole = with_what_it_leans_on(sentence, before)
            if _FIRST_PERSON.search(whole):
                yield turn, whole
            before = sentence


def _ending(sentence: str, entries: dict[str, Row]) -> Row | None:
    """The end of an entry: a goal that was reached, or anything that was given up."""
    given_up, reached = _GIVEN_UP.search(sentence), _REACHED.search(sentence)
    if not (given_up or reached) or (_HABIT.search(sentence) and not given_up):
        return None
    about = stems(sentence) - _GENERIC
    for entry in entries.values():
        is_goal = bool(_GOAL.search(entry["text"]))
        if entry["id"] and about & (stems(entry["text"]) - _GENERIC) and (given_up or is_goal):
            why = "given up" if given_up else "reached"
            return {"op": "delete", "id": entry["id"], "reason": f"{why}: {sentence[:120]}"}
    return None


def _revision(turn: Row, sentence: str, entries: dict[str, Row]) -> Row | None:
    """A new entry, or new words for the one that is about the same."""
    kind = "goal" if _GOAL.search(sentence) else "habit" if _HABIT.search(sentence) else ""
    about = stems(sentence) - _GENERIC
    if not kind or not about or _GIVEN_UP.search(sentence):
        return None
    text = with_absolute_dates(trimmed(sentence), local_time(turn["time"]))
    for entry in entries.values():
        held = stems(entry["text"]) - _GENERIC
        if _akin(about, held):
            if stems(text) <= stems(entry["text"]):
                return None
            if not entry["id"]:  # it was added a moment ago; this says more of it
                return {"op": "add", "key": entry["key"], "text": text, "reason": f"new {kind}"}
            return {
                "op": "update",
                "id": entry["id"],
                "text": text,
                "reason": f"the user told more of this {kind}",
            }
    if len(entries) >= MOST_ENTRIES:
        return None
    words = [word for word in content_words(sentence) if word.isalpha() and not stems(word) <= _GENERIC]
    return {"op": "add", "key": "_".join((kind, *words[:KEY_WORDS])), "text": text, "reason": f"new {kind}"}


def _akin(one: frozenset[str], other: frozenset[str]) -> bool:
    """Whether two entries are about the same: half of the longer one is shared, or two words and half of
    the shorter one."""
    shared = len(one & other)
    enough_of_shorter = shared >= 2 and shared >= AKIN * min(len(one), len(other))
    return bool(shared) and (shared >= AKIN * max(len(one), len(other)) or enough_of_shorter)
