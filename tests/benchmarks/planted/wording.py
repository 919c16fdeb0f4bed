"""Putting people, times and values into the templates of topics and small talk.

``{P}``, ``{Ps}``, ``{Po}`` name the person asked about (subject, possessive, object), ``{their}`` and
``{them}`` stand for that person; ``{a}``, ``{x}`` are values, capitalised as ``{A}``, ``{X}``.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

SYNONYMS = {
    "photo": ("picture", "snap"),
    "flat": ("apartment", "place"),
    "film": ("movie",),
    "kids": ("children", "little ones"),
    "bought": ("got", "picked up"),
    "great": ("wonderful", "fantastic"),
    "finally": ("at last", "at long last"),
    "evening": ("night",),
    "started": ("began",),
    "holiday": ("vacation",),
    "made": ("put together", "made"),
    "shop": ("store",),
    "really": ("truly", "so"),
    "autumn": ("fall",),
    "funny": ("hilarious",),
    "proud": ("chuffed", "proud"),
    "scared": ("terrified", "afraid"),
    "tired": ("exhausted", "worn out"),
    "beautiful": ("gorgeous", "lovely"),
}
_AGREEMENT = (
    (r"\b([Dd])oes (I|you)\b", r"\1o \2"),
    (r"\b([Hh])as (I|you)\b", r"\1ave \2"),
    (r"\bis I\b", "am I"),
    (r"\bIs I\b", "Am I"),
    (r"\bis you\b", "are you"),
    (r"\bIs you\b", "Are you"),
    (r"\bwas you\b", "were you"),
    (r"\bI and (the [\w ]+?|[A-Z]\w+|my \w+)(?= (?:get|meet|break|do|go)\b)", r"\1 and I"),
)
_SECOND_PERSON = ((r"\bmy\b", "your"), (r"\bour\b", "your"), (r"\bI\b", "you"), (r"\bmine\b", "yours"))
_PREPOSITION_WORDS = (
    "on in at for by when after before along beside under through around next with over during as"
)
_ARTICLE_WORDS = "a an the my our your their that this every {their} mum"
_OPENER_WORDS = """
The A An At For On We My It That They There In With After Along Against Somebody Someone Our From Each
Every No One Once Two Half Another Give Made Got Stuck Took What Which Where When Who How Why
"""
_PREPOSITIONS = frozenset(_PREPOSITION_WORDS.split())
_ARTICLES = frozenset(_ARTICLE_WORDS.split())
_OPENERS = frozenset(_OPENER_WORDS.split())


@dataclass(frozen=True, slots=True)
class Person:
    """A person of an invented conversation."""

    name: str
    pronoun: str

    @property
    def possessive(self) -> str:
        """ "her", "his" or "their"."""
        return {"she": "her", "he": "his"}.get(self.pronoun, "their")


YOU = Person("you", "you")
"""Whom the other speaker asks."""


def filled(template: str, values: Mapping[str, str]) -> str:
    """The template with ``{key}`` replaced, and with ``{Key}`` by the value capitalised."""

    def value(match: re.Match[str]) -> str:
        key = match[1]
        return values[key] if key in values else sentence_case(values[key.lower()])

    # Values may hold a key themselves ("for {their} sister").
    return re.sub(r"\{(\w+)\}", value, re.sub(r"\{(\w+)\}", value, template))


def sentence_case(text: str) -> str:
    """The text with its first letter capital, behind a quotation mark as well."""
    return re.sub(r"^(\W*)(\w)", lambda match: match[1] + match[2].upper(), text, count=1)


def lowered(text: str) -> str:
    """The sentence as it goes on after a comma; names and "I" stay capital."""
    first, _, _ = text.partition(" ")
    return text[0].lower() + text[1:] if first in _OPENERS else text


def asked_of(template: str, person: Person | None, values: Mapping[str, str]) -> str:
    """The question about ``person``, in the first person for None, in the second for ``YOU``."""
    if person == YOU:
        names = {"P": "you", "Ps": "your", "Po": "you", "their": "your", "them": "your"}
        seconds = {key: second_person(value) for key, value in values.items()}
        return sentence_case(_replaced(filled(template, {**seconds, **names}), _AGREEMENT))
    if person:
        owner = person.possessive
        them = "him" if owner == "his" else owner
        names = {"P": person.name, "Ps": f"{person.name}'s", "Po": person.name}
        return filled(template, {**values, **names, "their": owner, "them": them})
    names = {"P": "I", "Ps": "my", "Po": "me", "their": "my", "them": "my"}
    return sentence_case(_replaced(filled(template, {**values, **names}), _AGREEMENT))


def told(template: str, values: Mapping[str, str], rng: Random) -> str:
    """The statement of the person who tells it, some words replaced by synonyms."""
    text = sentence_case(filled(template, {**values, "their": "my"}))
    return re.sub(r"\b[a-z]+\b", lambda match: _synonym(match[0], rng), text)


def put_to(template: str, values: Mapping[str, str]) -> str:
    """The question that the other speaker puts to the person."""
    seconds = {key: second_person(value) for key, value in values.items()}
    return sentence_case(filled(template, {**seconds, "their": "your"}))


def second_person(value: str) -> str:
    """The value as the other speaker says it ("your sister")."""
    return _replaced(value, _SECOND_PERSON).replace("{their}", "your")


def as_noun(value: str) -> str | None:
    """The value as a noun with its article, None for one that is no noun ("on the balcony")."""
    first = value.partition(" ")[0]
    if first in _PREPOSITIONS or " when " in value:
        return None
    bare = first.islower() and first not in _ARTICLES
    return f"the {value}" if bare else value


def _replaced(text: str, rules: tuple[tuple[str, str], ...]) -> str:
    for pattern, replacement in rules:
        text = re.sub(pattern, replacement, text)
    return text


def _synonym(word: str, rng: Random) -> str:
    return rng.choice(SYNONYMS[word]) if word in SYNONYMS and rng.random() < 0.5 else word
