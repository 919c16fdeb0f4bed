"""Personality from signs in the user's words: a lexicon with negation, degree and whose feeling it is.

It sees no irony and knows English only; a message without signs is neutral in all five traits.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

from personavlm.memory_store.records import TRAITS
from personavlm.platform.engines.base import Conversation
from personavlm.platform.engines.rules.words import sentences
from personavlm.platform.prompts.render import read_rows

_LEXICON = Path(__file__).with_name("personality.yaml")
_WEIGHTS = {"plain": 1.0, "strong": 2.0}
_SOMEWHAT, _CLEARLY = 0.75, 1.75  # sums from which a trait counts as somewhat or clearly shown

_NEGATION = re.compile(r"\b(?:not|never|no longer|no|without|hardly|isn't|wasn't|aren't|weren't|don't|didn't"
                       r"|doesn't|won't|can't|couldn't|nothing)\b(?:\s+\S+){0,2}\s*$")  # fmt: skip
_MORE = re.compile(r"\b(?:very|really|so|extremely|totally|absolutely|incredibly|always|such|too|deeply)\s+$")
_LESS = re.compile(r"\b(?:a bit|a little|slightly|somewhat|kind of|sort of|mildly)\s+$")
_RELATION = (
    "mum|mom|dad|mother|father|sister|brother|wife|husband|partner|girlfriend|boyfriend|friend|boss|son"
    "|daughter|kid|kids|aunt|uncle|cousin|grandmother|grandma|grandfather|grandpa|neighbour|neighbor"
    "|colleague|colleagues|teacher|flatmate|roommate|dog|cat|team|parents|friends|coach|client"
)
_WHO = re.compile(
    rf"\b(?P<other>he|she|they|you|he's|she's|they're|you're|his|her|their|your|(?:my|our)\s+(?:{_RELATION}))\b"
    r"|\b(?P<self>i|i'm|i've|i'd|i'll|me|my|we|we're|we've|myself)\b"
)


@dataclass(frozen=True, slots=True)
class _Signs:
    """The signs of one pole of a trait at one weight, as one pattern."""

    trait: str
    weight: float
    pattern: re.Pattern[str]


def respond(conversation: Conversation) -> str:
    """Scores 1-5 for the newest turn as the JSON object that the prompt asks for."""
    turn = read_rows(conversation.segments[0].text)["turn"][0]
    return json.dumps(score(str(turn["user"])))


def score(text: str) -> dict[str, int]:
    """One whole number from 1 to 5 per trait; 3 where the text shows nothing."""
    sums = dict.fromkeys(TRAITS, 0.0)
    for sentence in sentences(text.lower().replace("\u2019", "'")):
        for signs in _lexicon():
            sums[signs.trait] += sum(
                signs.weight * _force(sentence[: found.start()]) for found in signs.pattern.finditer(sentence)
            )
    return {trait: _whole(total) for trait, total in sums.items()}


def _force(before: str) -> float:
    """How much a sign counts after these words: its degree, turned round by a negation, 0 of others."""
    if _is_of_others(before):
        return 0.0
    degree = 1.5 if _MORE.search(before) else 0.6 if _LESS.search(before) else 1.0
    return -0.8 * degree if _NEGATION.search(before) else degree


def _is_of_others(before: str) -> bool:
    """Whether the person named last before the sign is someone other than the user."""
    named = list(_WHO.finditer(before))
    return bool(named) and named[-1]["other"] is not None


def _whole(total: float) -> int:
    step = 2 if abs(total) >= _CLEARLY else 1 if abs(total) >= _SOMEWHAT else 0
    return 3 + step if total > 0 else 3 - step


@cache
def _lexicon() -> tuple[_Signs, ...]:
    entries = yaml.safe_load(_LEXICON.read_text(encoding="utf-8"))
    return tuple(
        _Signs(trait, sign * _WEIGHTS[strength], re.compile(rf"\b(?:{'|'.join(patterns)})\b"))
        for trait in TRAITS
        for pole, sign in (("high", 1.0), ("low", -1.0))
        for strength, patterns in entries[trait][pole].items()
    )
