"""How the rules say things: quotes with their date, acknowledgements, and a tone that fits."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, Literal
from zlib import crc32

import yaml

from personavlm.platform.agent.descriptors import HIGH, LOW
from personavlm.platform.agent.prompting import WEEKDAYS
from personavlm.platform.engines.rules.absolute_dates import with_absolute_dates
from personavlm.platform.engines.rules.relevance import Match
from personavlm.platform.engines.rules.situation import Situation
from personavlm.platform.engines.rules.statements import read_statements
from personavlm.platform.engines.rules.words import sentences, without_dates

_MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
           "November", "December")  # fmt: skip
_MAX_QUOTE = 240
_SHORT = re.compile(r"\b(?:short|brief|concise|to the point|few words)\b", re.IGNORECASE)
_CALM = re.compile(r"\b(?:no|not|never|don't|avoid|without|stop)\b[^.]*\bexclamation", re.IGNORECASE)
_QUOTE = re.compile("(\u201c[^\u201d]*\u201d)")
Occasion = Literal["ack", "found", "not_found"]


@cache
def phrases() -> dict[str, Any]:
    """The sentences of phrases.yaml."""
    loaded: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("phrases.yaml").read_text("utf-8"))
    return loaded


def pick(variants: Sequence[str], text: str) -> str:
    """One of the variants, always the same for the same message."""
    return variants[crc32(text.encode("utf-8", "replace")) % len(variants)]


def day(time: datetime, now: datetime) -> str:
    """ "earlier today", "yesterday", "on Sunday 17 May", with the year if it is another one."""
    days = (now.date() - time.date()).days
    if days in (0, 1):
        return "yesterday" if days else "earlier today"
    year = f" {time.year}" if time.year != now.year else ""
    return f"on {WEEKDAYS[time.weekday()]} {time.day} {_MONTHS[time.month - 1]}{year}"


def quoted(sentence: str) -> str:
    """The sentence in quotation marks, cut between words if it is long."""
    text = " ".join(sentence.split())
    if len(text) > _MAX_QUOTE:
        text = text[: text.rfind(" ", 0, _MAX_QUOTE)].rstrip(",;:") + "\u2026"
    return f"\u201c{text}\u201d"


def passage(match: Match) -> str:
    """What to quote: all that was stated there if it is short, else the sentence and what it leads to.

    Dates in brackets that only repeat the day of the quote are left out.
    """
    time = match.evidence.time
    said = _passage(match)
    return without_dates(said, f"{time.day} {_MONTHS[time.month - 1]} {time.year}") if time else said


def _passage(match: Match) -> str:
    if match.sentence.endswith("?"):
        return match.sentence
    statements = [sentence for sentence in sentences(match.evidence.text) if sentence[-1] not in "?\uff1f"]
    whole = " ".join(statements)
    if len(whole) <= _MAX_QUOTE or match.sentence not in statements:
        return whole or match.sentence
    at = statements.index(match.sentence)
    pair = " ".join(statements[at : at + 2])
    return pair if len(pair) <= _MAX_QUOTE else match.sentence


def recollection(match: Match, now: datetime, *, dated: bool = False) -> str:
    """A sentence that quotes what was found and says when it was told; ``dated`` resolves relative dates."""
    piece = match.evidence
    said = passage(match)
    said = with_absolute_dates(said, piece.time) if dated and piece.time else said
    asked = match.sentence.endswith("?")
    kind: str = "asked" if asked else "ended" if piece.until else piece.source
    when = day(piece.time, now) if piece.time else "once"
    text = pick(phrases()["found"][kind], match.sentence).format(
        When=when[0].upper() + when[1:],
        when=when,
        until=day(piece.until, now).removeprefix("on ") if piece.until else "",
        quote=quoted(said),
    )
    if not piece.outside:
        return text
    return str(phrases()["outside"]).format(quote_sentence=text[0].lower() + text[1:])


def tone(situation: Situation) -> str:
    """Which tone of phrases.yaml fits the user."""
    if _SHORT.search(" ".join(situation.core.values())):
        return "brief"
    score = situation.traits.get
    if score("neuroticism", 3.0) > HIGH:
        return "worried"
    if score("extraversion", 3.0) < LOW or score("openness", 3.0) < LOW:
        return "brief"
    high = (("extraversion", "lively"), ("agreeableness", "warm"), ("openness", "curious"))
    return next((name for trait, name in high if score(trait, 3.0) > HIGH), "plain")


def toned(text: str, occasion: Occasion, situation: Situation) -> str:
    """``text`` and what the tone adds to it."""
    addition = pick(phrases()["tones"][tone(situation)][occasion], situation.text)
    return calmed(f"{text} {addition}".strip(), situation)


def calmed(text: str, situation: Situation) -> str:
    """The text without exclamation marks of our own, if the user asked for none."""
    if not _CALM.search(" ".join(situation.core.values())):
        return text
    parts = _QUOTE.split(text)
    return "".join(part if part.startswith("\u201c") else part.replace("!", ".") for part in parts)


def small_talk(situation: Situation) -> str:
    """The reply to a greeting and the like, or nothing."""
    name = situation.core.get("name", "")
    called = f", {name}" if 0 < len(name.split()) <= 2 else ""
    for entry in phrases()["small_talk"]:
        if re.search(entry["pattern"], situation.text.strip(), re.IGNORECASE):
            return calmed(pick(entry["replies"], situation.text).format(name=called), situation)
    return ""


def acknowledgement(situation: Situation) -> str:
    """The reply to a statement; never empty."""
    statements = read_statements(situation.text)
    categories = {statement.category for statement in statements}
    changed = any(statement.changed for statement in statements)
    for entry in phrases()["acknowledgements"]:
        fits = (
            entry.get("category") in categories
            or (entry.get("changed") and changed)
            or ("pattern" in entry and re.search(entry["pattern"], situation.text, re.IGNORECASE))
        )
        if fits:
            reply = pick(entry["replies"], situation.text)
            break
    if situation.images:
        reply = f"{pick(phrases()['image_shown'], situation.text)} {reply}"
    return toned(reply, "ack", situation)
