"""Which time does a question speak of? "last Sunday" is that day, "last week" Monday to Sunday.

Patterns find an expression and say how wide it is; dateparser says which day it starts from. Every time here
is the user's local time without a zone, as prompts show it. Expressions about the future mean no window:
what was said about a plan was said before.
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Callable
from datetime import datetime, time, timedelta
from itertools import count

import dateparser

from personavlm.memory_store.queries import Window

Span = tuple[datetime, datetime]  # first and last minute
_DAY, _MINUTE = timedelta(days=1), timedelta(minutes=1)
_WEEKDAY = r"(?:mon|tues|wednes|thurs|fri|satur|sun)day"
_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_MONTHS = (
    "January|February|March|April|May|June|July|August|September|October|November|December"
    "|Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept|Sep|Oct|Nov|Dec"
)
# "may" and "march" are verbs, so months want their capital; everything around them does not.
_MONTH = rf"(?P<month>(?-i:{_MONTHS}))\.?\b(?:,?\s(?P<year>\d{{4}}))?"
_COUNT = r"(?P<count>\d{1,3}|an?|one|two|three|four|five|six|seven|eight|nine|ten)"
_UNIT = r"(?P<unit>day|week|month|year)s?"
_NUMBER_WORDS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_NUMBERS = dict(zip(_NUMBER_WORDS, range(1, 11), strict=True))
_PARTS = {"morning": (0, 13), "afternoon": (12, 19), "evening": (17, 24), "night": (18, 24)}  # hours
_SEASONS = {"spring": 3, "summer": 6, "autumn": 9, "fall": 9, "winter": 12}
_VAGUE = {
    "couple": (0.75, 3.0),
    "few": (1.5, 6.0),
    "several": (2.0, 8.0),
}  # nearest and farthest
_SLACK_DAYS = {"day": 0.0, "week": 2.0, "month": 12.0, "year": 60.0}  # around "N units ago"
_UNIT_DAYS = {"day": 1.0, "week": 7.0, "month": 30.4, "year": 365.25}


def warm_up() -> None:
    """Load dateparser's language data, which takes a third of a second the first time."""
    _parse("yesterday", datetime(2026, 1, 1))


def window_of(text: str, now: datetime) -> Window:
    """The window that ``text`` speaks of at the local time ``now``; open on both sides if it names none.

    Several expressions make one window around all of them.
    """
    spans = [span for span in _spans(text, now) if span[0] <= now]
    if not spans or (_AHEAD.search(text) and not _BACK.search(text)):
        return Window()
    start = min(span[0] for span in spans)
    end = max(span[1] for span in spans)
    match _relation(text):
        case "before" | "prior to":
            return Window(None, start - _MINUTE)
        case "until" | "till":
            return Window(None, end)
        case "since":
            return Window(start, now)
        case "after" if end < now:
            return Window(end, now)
        case _:
            return Window(start, end)


def _relation(text: str) -> str:
    found = _RELATION.search(text)
    return " ".join(found["relation"].lower().split()) if found else ""


def _spans(text: str, now: datetime) -> list[Span]:
    spans: list[Span] = []
    for pattern, resolve in _RULES:
        for match in list(pattern.finditer(text)):
            if span := resolve(match, now):
                spans.append(span)
                # What one rule has taken, the next ones do not see.
                text = text[: match.start()] + "#" * len(match[0]) + text[match.end() :]
    return spans


def _parse(text: str, now: datetime) -> datetime | None:
    settings = {"RELATIVE_BASE": now, "PREFER_DATES_FROM": "past"}
    found: datetime | None = dateparser.parse(text, languages=["en"], settings=settings)
    return found.replace(tzinfo=None) if found else None


def _group(match: re.Match[str], name: str) -> str:
    return (match.groupdict().get(name) or "").lower()


def _number(text: str) -> int:
    return int(text) if text.isdigit() else _NUMBERS.get(text, 1)


def _day(day: datetime, days: int = 1) -> Span:
    start = datetime.combine(day.date(), time())
    return start, start + days * _DAY - _MINUTE


def _days_back(now: datetime, farthest: float, nearest: float = 0) -> Span:
    return _day(now - farthest * _DAY)[0], _day(now - nearest * _DAY)[1]


def _part_of(day: datetime, part: str) -> Span:
    if not part:
        return _day(day)
    start, _ = _day(day)
    first, last = _PARTS[part]
    return start + timedelta(hours=first), start + timedelta(hours=last) - _MINUTE


def _months(year: int, month: int, months: int = 1) -> Span:
    """``months`` whole months from ``month``, which may lie outside 1 to 12."""
    first, after = (datetime(year + n // 12, n % 12 + 1, 1) for n in (month - 1, month - 1 + months))
    return first, after - _MINUTE


def _date(match: re.Match[str], now: datetime) -> Span | None:
    day = _parse(match[0], now)
    return _day(day) if day else None


def _day_of_month(match: re.Match[str], now: datetime) -> Span | None:
    day = int(match["day"])
    for back in count():
        first, _ = _months(now.year, now.month - back)
        if 1 <= day <= monthrange(first.year, first.month)[1] and first.replace(day=day) <= now:
            return _day(first.replace(day=day))
        if back == 2:
            return None
    return None


def _month(match: re.Match[str], now: datetime) -> Span | None:
    first = _parse(f"{match['month']} {match['year'] or now.year}", now)
    if first is None:
        return None
    if not match["year"] and (first.year, first.month) > (now.year, now.month):
        first = first.replace(year=first.year - 1, day=1)
    start, end = _months(first.year, first.month)
    part = _group(match, "part").removeprefix("the ")
    if part in ("early", "beginning of", "start of"):
        return start, start.replace(day=12, hour=23, minute=59)
    if part in ("mid", "middle of"):
        return start.replace(day=9), start.replace(day=22, hour=23, minute=59)
    return (start.replace(day=19) if part else start), end


def _week_of_month(match: re.Match[str], now: datetime) -> Span | None:
    whole = _month(match, now)
    if whole is None:
        return None
    if _group(match, "which") == "last":
        return whole[1] - 7 * _DAY + _MINUTE, whole[1]
    nth = ("first", "second", "third", "fourth").index(_group(match, "which"))
    return _day(whole[0] + nth * 7 * _DAY, 7)


def _year(match: re.Match[str], now: datetime) -> Span:
    return _months(int(match["year"]), 1, 12)


def _season(match: re.Match[str], now: datetime) -> Span:
    year, first = int(match["year"] or now.year), _SEASONS[_group(match, "season")]
    begun = match["year"] or datetime(year, first, 1) <= now
    return _months(year if begun else year - 1, first, 3)


def _near(match: re.Match[str], now: datetime) -> Span:
    phrase = _group(match, "near")
    back = 2 if "before" in phrase else 1 if phrase in ("yesterday", "last night") else 0
    day = now - back * _DAY
    if phrase in ("last night", "tonight"):
        # What happened at night may have been told after midnight.
        return _part_of(day, "night")[0], _day(day)[1] + timedelta(hours=5)
    return _part_of(day, _group(match, "part"))


def _weekday(match: re.Match[str], now: datetime) -> Span:
    back = (now.weekday() - _WEEKDAYS.index(_group(match, "weekday"))) % 7
    today = back == 0 and _group(match, "which") == "this"
    return _part_of(now - (back if back or today else 7) * _DAY, _group(match, "part"))


def _weekdays_ago(match: re.Match[str], now: datetime) -> Span:
    back = (now.weekday() - _WEEKDAYS.index(_group(match, "weekday"))) % 7 or 7
    if match["vague"]:
        return _days_back(now, back + 35, back)
    weeks = _number(_group(match, "count")) - 1
    return _days_back(now, back + 7 * weeks, back + 7 * weeks)


def _calendar(match: re.Match[str], now: datetime) -> Span:
    last = _group(match, "which") in ("last", "previous")
    monday = datetime.combine(now.date(), time()) - now.weekday() * _DAY
    match _group(match, "span"):
        case "week":
            return _day(monday - 7 * _DAY * last, 7)
        case "weekend":
            begun = not last and now.weekday() >= 5
            return _day(monday + 5 * _DAY if begun else monday - 2 * _DAY, 2)
        case "month":
            return _months(now.year, now.month - last)
        case _:
            return _months(now.year - last, 1, 12)


def _ago(match: re.Match[str], now: datetime) -> Span | None:
    unit = _group(match, "unit")
    day = _parse(f"{_number(_group(match, 'count'))} {unit} ago", now)
    if day is None:
        return None
    if _group(match, "about") in ("over", "more than"):
        return _days_back(day, 2 * _UNIT_DAYS[unit])
    slack = _SLACK_DAYS[unit]
    return _days_back(day, slack)[0], min(_days_back(day, -slack)[0] + _DAY - _MINUTE, _day(now)[1])


def _vaguely_ago(match: re.Match[str], now: datetime) -> Span:
    nearest, farthest = _VAGUE[_group(match, "vague")]
    days = _UNIT_DAYS[_group(match, "unit")]
    return _days_back(now, farthest * days, nearest * days)


def _past(match: re.Match[str], now: datetime) -> Span:
    number = 4 if match["vague"] else _number(_group(match, "count"))
    return _days_back(now, number * _UNIT_DAYS[_group(match, "unit")])


def _other_day(match: re.Match[str], now: datetime) -> Span:
    return _days_back(now, 10)


def _rule(pattern: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w)(?:{pattern})(?!\w)", re.IGNORECASE | re.VERBOSE)


_AHEAD = _rule(
    r"""plans?\sfor|planning|going\sto|gonna|will|upcoming|coming\sup|next|tomorrow|this\sweekend
    |(?:am|are)\s(?:i|we)\s\w+ing"""
)
_BACK = _rule(r"last|past|ago|yesterday|did|was|were|had|told|said|mentioned|showed|sent|shared|earlier")
_PART = rf"(?:\s(?P<part>{'|'.join(_PARTS)}))?"
_NTH = r"(?:the\s)?\d{1,2}(?:st|nd|rd|th)?"
_AGO = r"(?:ago|back|earlier)"
_NO_HABIT = r"(?<!every\s)(?<!each\s)(?<!next\s)(?<!coming\s)"
_BARE_MONTH = rf"(?-i:{_MONTHS})\.?"
_OF_MONTH = r"early|mid|late|(?:the\s)?(?:beginning|start|middle|end)\sof"
_BEFORE_MONTH = r"in|during|since|before|after|until|till|by|from|of|last|this|all|through"
_RELATION = _rule(
    rf"""(?<!day\s)(?P<relation>before|prior\sto|until|till|since|after)
    \s(?:the\s)?(?={_OF_MONTH}|last|this|{_NTH}|{_WEEKDAY}|{_BARE_MONTH}|yesterday|today|\d{{4}})(?:\w+)"""
)
_RULES: tuple[tuple[re.Pattern[str], Callable[[re.Match[str], datetime], Span | None]], ...] = (
    (_rule(r"\d{4}-\d{1,2}-\d{1,2} | \d{1,2}[/.]\d{1,2}[/.]\d{2,4}"), _date),
    (_rule(rf"{_NTH}\s(?:of\s)?{_BARE_MONTH}(?:,?\s\d{{4}})?"), _date),
    (_rule(rf"{_BARE_MONTH}\s{_NTH}(?!:)(?:,?\s\d{{4}})?"), _date),
    (_rule(rf"(?P<which>first|second|third|fourth|last)\sweek\s(?:of|in)\s{_MONTH}"), _week_of_month),
    (_rule(rf"(?P<part>{_OF_MONTH})[\s-](?:last\s|this\s)?{_MONTH}"), _month),
    (_rule(rf"(?:{_BEFORE_MONTH})\s(?:last\s|this\s)?{_MONTH}"), _month),
    (_rule(rf"{_MONTH}(?<=\d)"), _month),
    (_rule(rf"(?:last|this|in|during)\s(?:the\s)?(?P<season>{'|'.join(_SEASONS)})(?:\s(?P<year>\d{{4}}))?"),
     _season),
    (_rule(r"(?:in|during|since|before|after|until|of)\s(?P<year>(?:19|20)\d\d)"), _year),
    (_rule(rf"(?P<near>(?:the\s)?day\sbefore\syesterday|yesterday|today){_PART}"), _near),
    (_rule(r"(?P<near>last\snight|tonight)"), _near),
    (_rule(r"(?P<near>this)\s(?P<part>morning|afternoon|evening)"), _near),
    (_rule(rf"(?:{_COUNT}|a\s(?P<vague>few|couple)(?:\sof)?)\s(?P<weekday>{_WEEKDAY})s\sago"), _weekdays_ago),
    (_rule(rf"{_NO_HABIT}(?:(?P<which>last|this|past|on)\s)?(?P<weekday>{_WEEKDAY}){_PART}"), _weekday),
    (_rule(r"(?P<which>last|previous|this)\s(?P<span>weekend|week|month|year)"), _calendar),
    (_rule(r"(?P<which>over|at|on|during|of)\sthe\s(?P<span>weekend)"), _calendar),
    (_rule(rf"(?:(?P<about>over|more\sthan)\s)?{_COUNT}\s{_UNIT}\s{_AGO}"), _ago),
    (_rule(rf"(?P<vague>couple|few|several)\s(?:of\s)?{_UNIT}\s{_AGO}"), _vaguely_ago),
    (_rule(rf"the\s(?:last|past)\s(?:(?:{_COUNT}|(?P<vague>few|couple(?:\sof)?|several))\s)?{_UNIT}"), _past),
    (_rule(r"the\sother\s(?:day|night|evening|week)"), _other_day),
    (_rule(r"on\sthe\s(?P<day>\d{1,2})(?:st|nd|rd|th)"), _day_of_month),
)  # fmt: skip
