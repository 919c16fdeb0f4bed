"""Relative dates made absolute: "last Sunday" becomes "last Sunday (10 May 2026)".

A pattern finds what looks like a date in English, dateparser says which day it is. What cannot be
resolved stays as it was written.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from functools import lru_cache

import dateparser

_WEEKDAY = r"(?:monday|tuesday|wednesday|thursday|friday|saturday|sunday)"
_MONTH = (
    r"(?:january|february|march|april|may|june|july|august|september|october|november|december"
    r"|jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec)"
)
_COUNT = r"(?:\d{1,3}|an?|one|two|three|four|five|six|seven|eight|nine|ten|a\scouple\sof|couple\sof|a\sfew)"
_DAY = r"\d{1,2}(?:st|nd|rd|th)?"
_PART = r"(?:\s+(?:morning|afternoon|evening|night))?"
_DATE = re.compile(
    rf"""\b(?:
      (?P<near>(?:the\s)?day\s(?:before\syesterday|after\stomorrow)|(?:yesterday|tomorrow){_PART}|today|tonight
               |last\snight|this\s(?:morning|afternoon|evening))
    | (?P<span>(?:last|this|next|this\scoming|this\spast)\s(?:week|weekend|month|year|summer|winter|spring))
    | (?P<weekday>(?:(?:last|next|this|this\scoming|this\spast|coming|on)\s)?{_WEEKDAY}{_PART})
    | (?P<distance>{_COUNT}\s(?:days?|weeks?|months?|years?)\s(?:ago|from\snow)
                 |in\s{_COUNT}\s(?:days?|weeks?|months?|years?)(?='?\s|[.,;!?]|$))
    | (?P<dated>(?:the\s)?{_DAY}\s(?:of\s)?{_MONTH}(?:,?\s\d{{4}})?|{_MONTH}\s{_DAY}(?:,?\s\d{{4}})?)
    | (?P<month>(?<=\bin\s){_MONTH}(?!\s\d)|(?:last|next)\s{_MONTH})
    | (?P<day>(?<=\bon\s)the\s\d{{1,2}}(?:st|nd|rd|th))
    )(?![\w-]|['\u2019]s\b)""",
    re.IGNORECASE | re.VERBOSE,
)
_BEYOND = timedelta(days=120)
"""A month or day without a year that lies further away than this in both directions stays open."""
_HABIT = re.compile(
    r"\b(?:every|each|most|any|other|first|second|third|another)\s+"
    rf"(?:{_WEEKDAY}{_PART}(?:,?\s(?:and|or)|,)\s+)*$",
    re.IGNORECASE,
)
_FUTURE = re.compile(
    r"\b(?:will|going to|gonna|next|coming|tomorrow|upcoming|plan(?:s|ning)? to|booked|until|by|due|soon"
    r"|deadline|(?:am|'m|are|'re|is|'s) (?:\w+ ){0,2}\w+ing)\b|'ll\b",
    re.IGNORECASE,
)
_PAST = re.compile(
    r"\b(?:was|were|went|had|did|\w+ed|last|ago|yesterday|been|got|ran|met|saw|came|took|gave|bought)\b",
    re.IGNORECASE,
)
_CLAUSE_END = re.compile(r"[,;:.!?\u2014]\s|\s(?:and|but|because|so)\s")
# A date stands right behind the weekday, or the weekday only says which list or lesson.
_NO_WEEKDAY = re.compile(
    rf",?\s(?:the\s)?{_DAY}\s(?:of\s)?{_MONTH}|,?\s{_MONTH}\s\d|\s[a-z]+:", re.IGNORECASE
)
_YEARLY = re.compile(r"\b(?:birthday|born|anniversary)\b", re.IGNORECASE)


def local_time(shown: str) -> datetime:
    """The time of a prompt row, "2026-05-17 14:05 Sunday", without zone."""
    return datetime.strptime(shown[:16], "%Y-%m-%d %H:%M")


def with_absolute_dates(text: str, now: datetime) -> str:
    """The text with the calendar date after each relative one, counted from ``now`` (local, no zone)."""
    found, end = [], 0
    for match in _DATE.finditer(text):
        date = "" if _HABIT.search(text[: match.start()]) else _said(match, text, now)
        found.append(text[end : match.end()] + (f" ({date})" if date else ""))
        end = match.end()
    return "".join(found) + text[end:]


def has_date(text: str) -> bool:
    """Whether something in the text looks like a date (habits, "every Sunday", do not count)."""
    return any(not _HABIT.search(text[: match.start()]) for match in _DATE.finditer(text))


def looks_ahead(text: str) -> bool:
    """Whether a sentence speaks of the future rather than of the past."""
    return bool(_FUTURE.search(text)) and not re.search(r"\b(?:ago|yesterday|last)\b", text, re.IGNORECASE)


def _said(match: re.Match[str], text: str, now: datetime) -> str:
    """What to put in brackets after a date, or nothing."""
    phrase, kind, rest = match[0].lower(), match.lastgroup or "", text[match.end() :]
    if re.search(r"\d{4}", phrase) or re.match(r"\s*\(", rest):
        return ""
    if kind == "span":
        return _span(phrase, now)
    if kind == "weekday" and _NO_WEEKDAY.match(rest):
        return ""
    if kind in ("dated", "month"):
        return _yearless(phrase, kind, text, now)
    clause = _clause(text, match.start())
    date = _parse(_plain(phrase), now, looks_ahead(clause) or not _PAST.search(clause))
    if date is None:
        return ""
    if kind in ("weekday", "day"):
        return _day(date)
    if kind == "distance" and not re.search(r"days?\b", phrase):
        return f"around {date:%B %Y}" if re.search(r"month|year", phrase) else f"around {_day(date)}"
    return f"{date:%A} {_day(date)}"


def _yearless(phrase: str, kind: str, text: str, now: datetime) -> str:
    """The year of "12 June" or "in June": of the nearest one, unless the text points the other way."""
    if _YEARLY.search(text):
        return ""
    readings = [_parse(_plain(phrase), now, ahead) for ahead in (False, True)]
    past, future = (reading or now for reading in readings)
    if phrase.startswith("last ") or phrase.startswith("next "):
        date = past if phrase.startswith("last ") else future
    elif looks_ahead(text):
        date = future
    else:
        date = min((past, future), key=lambda reading: abs(reading - now))
        if abs(date - now) > _BEYOND:
            return ""
    return str(date.year) if kind == "dated" else f"{date:%B %Y}"


def _clause(text: str, position: int) -> str:
    """The clause around a position: tense holds from one comma to the next."""
    start = max((found.end() for found in _CLAUSE_END.finditer(text, 0, position)), default=0)
    end = next((found.start() for found in _CLAUSE_END.finditer(text, position)), len(text))
    return text[start:end]


def _span(phrase: str, now: datetime) -> str:
    step = -1 if re.match(r"last|this past", phrase) else 1 if phrase.startswith("next") else 0
    if phrase.endswith("week"):
        return f"week of {_day(now - timedelta(days=now.weekday()) + timedelta(weeks=step))}"
    if phrase.endswith("weekend"):
        return f"weekend of {_day(now + timedelta(days=5 - now.weekday(), weeks=step))}"
    if phrase.endswith("month"):
        months = now.year * 12 + now.month - 1 + step
        return f"{datetime(months // 12, months % 12 + 1, 1):%B %Y}"
    return str(now.year + step) if step or phrase.endswith("year") else ""


def _plain(phrase: str) -> str:
    """A phrase as dateparser knows it."""
    if phrase == "last night":  # the night belongs to the day on which it began
        return "yesterday"
    phrase = re.sub(rf"^(?:(?:this )?(?:coming|past)|this|on|the) |^(?:last|next) (?={_MONTH}$)", "", phrase)
    phrase = re.sub(r"\b(?:a )?couple of\b", "two", phrase).replace("a few", "three")
    phrase = re.sub(r"^(?:tonight|morning|afternoon|evening)$", "today", phrase)
    return re.sub(r"\s+(?:morning|afternoon|evening|night)$", "", phrase)


@lru_cache(maxsize=4096)
def _parse(phrase: str, now: datetime, ahead: bool) -> datetime | None:
    settings = {"RELATIVE_BASE": now, "PREFER_DATES_FROM": "future" if ahead else "past"}
    parsed = dateparser.parse(phrase, languages=["en"], settings=settings)
    return parsed if isinstance(parsed, datetime) else None


def _day(date: datetime) -> str:
    return f"{date.day} {date:%B %Y}"
