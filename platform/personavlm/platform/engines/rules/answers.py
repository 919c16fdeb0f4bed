"""What kind of answer a question asks for, and which sentences look like one."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

from personavlm.platform.engines.rules.patterns import Patterns
from personavlm.platform.engines.rules.words import without_dates

_HERE = Path(__file__).parent
_TIME = (
    r"(?:the |this |last |next )?(?:\d|morning|afternoon|evening|night|week|month|year|end|start"
    r"|spring|summer|autumn|winter|january|february|march|april|may|june|july|august|september|october|november|december"
    r"|monday|tuesday|wednesday|thursday|friday|saturday|sunday|fact|general|time|be|do|have|it|me|you)\b"
)
_NEVER = re.compile(r"(?!)")
_SUBJECT = re.compile(
    r"\bwho(?:'s| is| was| are| were) (?!(?:it|that|this|he|she|they|i|you)\b)"
    r"(?P<name>[^?.,!]+?)(?: again| to me| for me)?\s*(?:[?.,!]|$)",
    re.IGNORECASE,
)


_PLAN = re.compile(
    r"\b(?:will|going to|gonna|(?:want|plan|plans|planning|hope|hoping|intend|aim) to"
    r"|(?:would|'d) (?:like|love) to|(?:goal|dream|plan|aim) (?:is|was))\b|'ll\b",
    re.IGNORECASE,
)
_AHEAD = re.compile(r"\b(?:tomorrow|next (?:week|month|year|summer))\b", re.IGNORECASE)
_REPORT = re.compile(r"\b(?:was|were|had|did|came|went|got|\w{2,}ed)\b", re.IGNORECASE)
_HAPPENED = re.compile(r"\b(?:did|was|were|had|have (?:i|we)|has|\w{3,}ed)\b", re.IGNORECASE)
_INTENDED = re.compile(
    r"\b(?:plan\w*|want\w*|hop(?:e|ed|ing)|goals?|intend\w*|intention|aim\w*|dream\w*|going to"
    r"|look(?:ing)? forward|decid\w+|wish\w*|will|promis\w+)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class _Kind:
    asked: re.Pattern[str]
    told: re.Pattern[str]
    sure: bool
    loose: bool


def kinds_asked(text: str) -> frozenset[str]:
    """The entries of answers.yaml that a question asks for."""
    kinds = frozenset(name for name, kind in _kinds().items() if kind.asked.search(text))
    return kinds - {"amount"} if "money" in kinds else kinds


def sure_kinds(kinds: Collection[str]) -> frozenset[str]:
    """Those kinds whose answers can hardly look otherwise."""
    return frozenset(name for name in kinds if _kinds()[name].sure)


def only_loose(kinds: Collection[str]) -> bool:
    """Whether many sentences look like such an answer that are none."""
    return all(_kinds()[name].loose for name in kinds)


def subject(text: str) -> str:
    """The one after whom "who is …" asks, or nothing."""
    found = _SUBJECT.search(text)
    return found["name"].strip() if found else ""


def tells(kinds: Collection[str], sentence: str, about: str = "") -> bool:
    """Whether a sentence looks like an answer of one of the kinds; ``about`` is whom it has to introduce."""
    sentence = without_dates(sentence.replace("\u2019", "'"))
    if "introduction" in kinds and about and _introduction(about).search(sentence):
        return True
    return any(_kinds()[name].told.search(sentence) for name in kinds)


def is_plan(sentence: str) -> bool:
    """Whether a sentence speaks of what is meant to happen."""
    said = sentence.replace("\u2019", "'")
    return bool(_PLAN.search(said)) or bool(_AHEAD.search(said) and not _REPORT.search(said))


def asks_what_happened(text: str) -> bool:
    """Whether a question is about what came to pass, rather than about plans."""
    return bool(_HAPPENED.search(text)) and ("reached" in kinds_asked(text) or not _INTENDED.search(text))


@cache
def _introduction(name: str) -> re.Pattern[str]:
    """Sentences that say who somebody is: "X is my …", "my … X", "a dog called X", "X, the …"."""
    own, which = re.escape(name), r"(?:my|our|an?|the|his|her|their|one of)"
    return re.compile(
        rf"\b{own},? (?:is|was|who is|he is|she is|became)(?: now)? (?:\w+ )?{which} "
        rf"|\b(?:my|our) (?:\w+[ -]){{1,3}}{own}\b|\b(?:called|named|names? (?:is|are)|name's) {own}\b"
        rf"|\b{own}, (?:{which}) |\b{which} (?:\w+ ){{1,4}}(?:is|was) {own}\b",
        re.IGNORECASE,
    )


@cache
def _kinds() -> dict[str, _Kind]:
    entries = yaml.safe_load((_HERE / "answers.yaml").read_text(encoding="utf-8"))
    questions = Patterns(_HERE / "questions.yaml")
    asked = {name: questions.one(name).pattern for name in ("wish", "explain")}
    return {
        name: _Kind(
            re.compile(
                "|".join(line % asked if "%(" in line else line for line in entry["asked"]), re.IGNORECASE
            ),
            _told(entry["told"]),
            entry.get("sure", False),
            entry.get("loose", False),
        )
        for name, entry in entries.items()
    }


def _told(lines: list[str]) -> re.Pattern[str]:
    if not lines:
        return _NEVER
    return re.compile(
        "|".join(line % {"time": _TIME} if "%(" in line else line for line in lines), re.IGNORECASE
    )
