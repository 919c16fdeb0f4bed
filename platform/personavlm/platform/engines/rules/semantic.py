"""Semantic memory by patterns: statements of the newest turn, with dates made absolute.

What a statement replaces is found by what it says was given up, by its slot (a new home replaces the old)
or by a like that turned into a dislike. Paraphrase, irony and other languages than English escape it.
"""

from __future__ import annotations

import calendar
import json
import re
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from personavlm.platform.engines.base import Conversation
from personavlm.platform.engines.rules.absolute_dates import local_time, with_absolute_dates
from personavlm.platform.engines.rules.patterns import statement_patterns
from personavlm.platform.engines.rules.statements import (
    NEGATIVE,
    Statement,
    is_deictic,
    read_statements,
    trimmed,
    without_filler,
    without_question,
)
from personavlm.platform.engines.rules.words import content_words, sentences, stems
from personavlm.platform.prompts.render import read_rows

MAX_MEMORIES = 3  # of one turn
MAX_KEYWORDS = 6
SAME = 0.8  # share of common stems from which two statements say the same

Row = dict[str, Any]

_FORGET = statement_patterns().one("forget")
_FAVOURITE = re.compile(
    r"(?<!'s )\bfavou?rite (?P<what>(?:\w+ )?\w+?)s?"
    r"(?=\s(?:is|are|was|has|at|in|of|for|now|and|these|any)\b|[,:.!]|$)",
    re.IGNORECASE,
)
_NAME = re.compile(r"(?<=[a-z,] )[A-Z][a-z]{2,}\b")
_CALENDAR = frozenset((*calendar.day_name, *calendar.month_name))
_GENERIC = stems(
    "like love enjoy prefer hate favourite favorite new old drink eat morning day time way usual"
)


def respond(conversation: Conversation) -> str:
    """Operations for the newest turn as the JSON object that the prompt asks for."""
    data = read_rows(conversation.segments[0].text)
    turn, related = data["turn"][0], data["related"]
    operations = _forget(turn, related)
    if not operations:
        statements = _worth_keeping(turn, data)
        taken: set[str] = set()
        operations = [_add(statement, turn, related, taken) for statement in statements]
    return json.dumps({"operations": operations}, ensure_ascii=False)


def _worth_keeping(turn: Row, data: dict[str, list[Row]]) -> list[Statement]:
    names = _names(row["text"] for row in (*data["related"], *data["core"]))
    found = [s for s in read_statements(turn["user"], names) if not _is_known(s, data["related"])]
    if turn["images"] and not any(statement.deictic for statement in found):
        picture = _picture(turn)
        told = " ".join(statement.text for statement in picture)
        found = [s for s in found if s.category != "fact" or s.text.rstrip(".!") not in told] + picture
    first = sorted(found, key=lambda statement: not (statement.changed or statement.category == "directive"))
    return [statement for statement in found if statement in first[:MAX_MEMORIES]]


def _picture(turn: Row) -> list[Statement]:
    """What an image shows, by the user's words beside it and its captions."""
    said = [without_question(without_filler(sentence)) for sentence in sentences(turn["user"])]
    told = [sentence for sentence in said if not sentence.endswith("?")]
    words = " ".join([sentence for sentence in told if is_deictic(sentence)] or told)
    if not words and said:
        words = f"A picture with the question: {said[-1]}"
    captions = "; ".join(turn.get("captions", ()))
    text = f"{words} (picture: {captions})" if captions else words
    return [Statement(trimmed(text.strip()), "concept", deictic=True)] if content_words(text) else []


def _is_known(statement: Statement, related: Sequence[Row]) -> bool:
    own = stems(statement.text)
    if statement.changed or statement.category == "concept":
        return False
    return any(
        (own <= (other := stems(row["text"])) or len(own & other) >= SAME * len(own | other))
        and statement.negative == bool(NEGATIVE.search(row["text"]))
        for row in related
    )


def _add(statement: Statement, turn: Row, related: Sequence[Row], taken: set[str]) -> Row:
    replaced = _replaced(statement, [row for row in related if row["id"] not in taken])
    if replaced:
        taken.add(replaced["id"])
    shown = bool(turn["images"]) and statement.deictic
    return {
        "op": "add",
        "category": "concept" if shown and statement.category == "fact" else statement.category,
        "text": with_absolute_dates(statement.text, local_time(turn["time"])),
        "keywords": list(content_words(statement.text)[:MAX_KEYWORDS]),
        "shown": shown,
        "supersedes": replaced["id"] if replaced else None,
        "reason": f"takes the place of: {replaced['text'][:80]}" if replaced else "the user stated it",
        "evidence": [turn["id"]],
    }


def _replaced(statement: Statement, related: Sequence[Row]) -> Row | None:
    """The memory that a statement takes the place of, the newest of those that fit best."""
    scored = [(fit(statement, row["text"], row["category"]), row["time"], row) for row in related]
    best = max(scored, key=lambda entry: entry[:2], default=None)
    return best[2] if best and best[0] > 0 else None


def fit(statement: Statement, text: str, category: str) -> float:
    """How surely a statement ends what a memory says; 0 means not at all."""
    if category == "directive":
        return 0.0
    opposed = bool(NEGATIVE.search(text)) != statement.negative
    if statement.given_up:
        old, held = stems(statement.given_up) - _GENERIC, stems(text)
        ended = opposed or not statement.negative
        return 3 * len(old & held) / len(old) if ended and old & held and not _says(statement, text) else 0.0
    if own := favourite(statement.text):
        return 2.0 if own == favourite(text) else 0.0
    if statement.category == category == "preference" and opposed and _same_object(statement.text, text):
        return 2.0
    common = slots(statement.text) & slots(text)
    if any(_slot_table()[slot][0] for slot in common):
        return 1.0
    both = statement.category == category == "preference"
    return 1.0 if both and common and statement.changed and not statement.negative else 0.0


def _same_object(one: str, other: str) -> bool:
    """Whether a like and a dislike are about one thing: half of the shorter one's words are shared."""
    own, held = stems(one) - _GENERIC, stems(other) - _GENERIC
    shared = own & held
    return bool(shared) and 2 * len(shared) >= min(len(own), len(held))


def _says(statement: Statement, text: str) -> bool:
    """Whether a memory speaks of what is taken up now: that one is confirmed, not ended."""
    new = stems(statement.taken_up) - _GENERIC
    return bool(new) and new <= stems(text)


def favourite(text: str) -> str:
    """Of what a text names a favourite (stems), or nothing."""
    found = _FAVOURITE.search(text)
    return " ".join(sorted(stems(found["what"]))) if found else ""


def slots(text: str) -> frozenset[str]:
    """The slots that a text speaks of."""
    return frozenset(slot for slot, (_, pattern) in _slot_table().items() if pattern.search(text))


@cache
def _slot_table() -> dict[str, tuple[bool, re.Pattern[str]]]:
    entries = yaml.safe_load(Path(__file__).with_name("slots.yaml").read_text(encoding="utf-8"))
    return {
        slot: (entry["single"], re.compile(rf"\b(?:{'|'.join(entry['words'])})\b", re.IGNORECASE))
        for slot, entry in entries.items()
    }


def _forget(turn: Row, related: Sequence[Row]) -> list[Row]:
    """Delete what the user asks to forget, where a memory is plainly about it."""
    for sentence in sentences(turn["user"]):
        if asked := _FORGET.search(sentence):
            wanted = stems(asked["what"])
            hit = [row for row in related if wanted and len(wanted & stems(row["text"])) * 2 >= len(wanted)]
            reason = {"reason": "the user asked to forget it", "evidence": [turn["id"]]}
            return [{"op": "delete", "id": row["id"], **reason} for row in hit]
    return []


def _names(texts: Iterable[str]) -> frozenset[str]:
    """Names inside known memories: capital letters that begin no sentence."""
    return frozenset(name for text in texts for name in _NAME.findall(text) if name not in _CALENDAR)
