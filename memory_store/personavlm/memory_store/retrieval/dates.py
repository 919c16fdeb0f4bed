"""Days that a text names, outright ("7 May 2023", "5月7日") or from the day it was said ("last Friday").

Days are counted from 1970-01-01. English and Chinese.
"""

import re
from collections.abc import Callable, Iterator
from datetime import date
from typing import NamedTuple

EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
LAST_DAY = date(9999, 12, 31).toordinal() - EPOCH_ORDINAL


class Days(NamedTuple):
    """A span of days, both ends included."""

    first: int
    last: int


MONTHS = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_FIRST_NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_NUMBERS = {word: number for number, word in enumerate(_FIRST_NUMBERS)}
_NUMBERS |= {"a": 1, "an": 1, "couple of": 2, "a couple of": 2, "few": 3, "a few": 3}
_CHINESE_DIGITS = {digit: n for n, digit in enumerate("零一二三四五六七八九十")} | {"两": 2, "几": 3}

_CHINESE_UNITS = {"天": "day", "日": "day", "周": "week", "星期": "week", "月": "month", "年": "year"}
_CHINESE_UNITS["周末"] = "weekend"

_MONTH = rf"(?P<month>{'|'.join(f'{name[:3]}(?:{name[3:]})?' for name in MONTHS)}|sept)\.?"
# Without a day or a year, "may" and "march" are mostly other words.
_SURE_MONTH = "|".join([name for name in MONTHS if name not in ("march", "may")] + ["(?<=in )(?:march|may)"])
_DAY = r"(?P<day>\d{1,2})(?:st|nd|rd|th)?"
_YEAR = r"(?P<year>(?:19|20)\d\d)"
_WEEKDAY = rf"(?P<weekday>{'|'.join(WEEKDAYS)})"
_UNIT = r"(?P<unit>day|week|weekend|month|year)s?"
_COUNT = rf"(?P<count>\d{{1,3}}|{'|'.join(sorted(_NUMBERS, key=len, reverse=True))})"
_CN = r"[零一二两三四五六七八九十几\d]{1,3}"


def day_number(day: date) -> int:
    """Days since 1970-01-01."""
    return day.toordinal() - EPOCH_ORDINAL


def days_in(text: str, today: int) -> list[Days]:
    """The spans that a text said on the day ``today`` names, each once.

    A date without a year is the one nearest to ``today``. What is no date (30 February) is passed over.
    """
    found: dict[Days, None] = {}
    lowered = text.lower()
    taken: list[tuple[int, int]] = []
    for pattern, read in _READERS:
        for match in pattern.finditer(lowered):
            if any(begin < match.end() and match.start() < end for begin, end in taken):
                continue
            taken.append(match.span())
            try:
                days = read(match, today)
            except (ValueError, OverflowError):
                continue
            if 0 <= days.first <= days.last <= LAST_DAY:
                found[days] = None
    return list(found)


def weekdays_in(text: str) -> frozenset[int]:
    """Weekdays that a text names in any way, Monday being 0."""
    found = {WEEKDAYS.index(name) for name in re.findall(rf"\b({'|'.join(WEEKDAYS)})s?\b", text.lower())}
    chinese = re.findall("(?:周|星期|礼拜)([一二三四五六日天])", text)
    return frozenset(found | {"一二三四五六日".index(day.replace("天", "日")) for day in chinese})


def _date(today: int) -> date:
    return date.fromordinal(today + EPOCH_ORDINAL)


def _day(match: re.Match[str], today: int) -> Days:
    month, day = _month(match["month"]), int(match["day"])
    if match["year"]:
        number = day_number(date(int(match["year"]), month, day))
    else:
        year = _date(today).year
        near = [
            day_number(date(each, month, day)) for each in (year - 1, year, year + 1) if _is(each, month, day)
        ]
        number = min(near, key=lambda each: abs(each - today))
    return Days(number, number)


def _is(year: int, month: int, day: int) -> bool:
    return month != 2 or day < 29 or (year % 4 == 0 and day == 29)


def _month(name: str) -> int:
    return int(name) if name.isdigit() else [month[:3] for month in MONTHS].index(name[:3]) + 1


def _whole_month(match: re.Match[str], today: int) -> Days:
    month = _month(match["month"])
    if match["year"]:
        return _span_of_month(int(match["year"]), month)
    year = _date(today).year
    near = [_span_of_month(each, month) for each in (year - 1, year, year + 1)]
    return min(near, key=lambda days: min(abs(days.first - today), abs(days.last - today)))


def _span_of_month(year: int, month: int) -> Days:
    following = date(year + month // 12, month % 12 + 1, 1)
    return Days(day_number(date(year, month, 1)), day_number(following) - 1)


def _whole_year(match: re.Match[str], _: int) -> Days:
    year = int(match["year"])
    return Days(day_number(date(year, 1, 1)), day_number(date(year, 12, 31)))


def _iso(match: re.Match[str], _: int) -> Days:
    number = day_number(date(int(match["year"]), int(match["month"]), int(match["day"])))
    return Days(number, number)


_SHIFTS = {"yesterday": -1, "last night": -1, "tomorrow": 1, "today": 0, "tonight": 0, "this morning": 0}
_SHIFTS |= {"this afternoon": 0, "this evening": 0, "the day before yesterday": -2, "the other day": -3}
_SHIFTS |= {"昨天": -1, "昨晚": -1, "前天": -2, "大前天": -3, "明天": 1, "后天": 2, "今天": 0, "今晚": 0}


def _shift(match: re.Match[str], today: int) -> Days:
    day = today + _SHIFTS[match.group()]
    return Days(day, day)


def _ago(match: re.Match[str], today: int) -> Days:
    count = match["count"]
    number = int(count) if count.isdigit() else _NUMBERS[count]
    return _around(match["unit"], -number, today)


def _chinese_ago(match: re.Match[str], today: int) -> Days:
    unit = {"天": "day", "日": "day", "周": "week", "星期": "week", "月": "month", "年": "year"}[
        match["unit"]
    ]
    return _around(unit, -_chinese_number(match["count"]), today)


def _chinese_number(text: str) -> int:
    if text.isdigit():
        return int(text)
    tens, _, ones = text.rpartition("十")
    if "十" not in text:
        return _CHINESE_DIGITS[text]
    return (_CHINESE_DIGITS[tens] if tens else 1) * 10 + (_CHINESE_DIGITS[ones] if ones else 0)


def _around(unit: str, number: int, today: int) -> Days:
    """So many units away, as loosely as people count: a week ago is some day of about then."""
    if unit == "day":
        return Days(today + number, today + number)
    if unit in ("week", "weekend"):
        return Days(today + 7 * number - 2, today + 7 * number + 2)
    here = _date(today)
    if unit == "month":
        months = here.year * 12 + here.month - 1 + number
        return _span_of_month(months // 12, months % 12 + 1)
    return Days(day_number(date(here.year + number, 1, 1)), day_number(date(here.year + number, 12, 31)))


_STEPS = {
    "last": -1,
    "past": -1,
    "previous": -1,
    "this": 0,
    "next": 1,
    "coming": 1,
    "上": -1,
    "这": 0,
    "下": 1,
}


def _step(match: re.Match[str], today: int) -> Days:
    return _stepped(match["unit"], _STEPS[match["step"]], today)


def _stepped(unit: str, step: int, today: int) -> Days:
    """The week, weekend, month or year before, of, or after today."""
    if unit in ("week", "weekend"):
        monday = today - _date(today).weekday() + 7 * step
        return Days(monday + (5 if unit == "weekend" else 0), monday + 6)
    return _around(unit, step, today)


def _chinese_step(match: re.Match[str], today: int) -> Days:
    return _stepped(_CHINESE_UNITS[match["unit"]], _STEPS[match["step"]], today)


def _chinese_year(match: re.Match[str], today: int) -> Days:
    return _around("year", {"前": -2, "去": -1, "今": 0, "明": 1}[match.group()[0]], today)


def _weekday(match: re.Match[str], today: int) -> Days:
    """The nearest such day before or after today; without "next" the one before."""
    wanted = WEEKDAYS.index(match["weekday"])
    ahead = (wanted - _date(today).weekday()) % 7
    day = today + (ahead or 7) if match["step"] in ("next", "this", "coming") else today - ((-ahead) % 7 or 7)
    return Days(day, day)


def _chinese_weekday(match: re.Match[str], today: int) -> Days:
    wanted = "一二三四五六日".index(match["weekday"].replace("天", "日"))
    monday = today - _date(today).weekday()
    day = monday + wanted + 7 * _STEPS.get(match["step"] or "这", 0)
    return Days(day, day)


_Reader = Callable[[re.Match[str], int], Days]


def _readers() -> Iterator[tuple[re.Pattern[str], _Reader]]:
    """Patterns, the longest reading of a place first."""
    yield re.compile(r"\b(?P<year>(?:19|20)\d\d)[-/.](?P<month>\d{1,2})[-/.](?P<day>\d{1,2})\b"), _iso
    yield re.compile(rf"\b{_DAY}(?: of)? {_MONTH}(?:,? {_YEAR})?\b"), _day
    yield re.compile(rf"\b{_MONTH} {_DAY}(?:,? {_YEAR})?\b(?!\d)"), _day
    yield re.compile(r"(?:(?P<year>(?:19|20)\d\d)年)?(?P<month>\d{1,2})月(?P<day>\d{1,2})[日号]?"), _day
    yield re.compile(r"(?:(?P<year>(?:19|20)\d\d)年)(?P<month>\d{1,2})月"), _whole_month
    yield re.compile(rf"\b{_MONTH},? {_YEAR}\b"), _whole_month
    yield re.compile(rf"\b(?P<year>)(?P<month>{_SURE_MONTH})\b"), _whole_month
    yield re.compile(r"(?P<year>)(?<!\d)(?P<month>1[0-2]|[1-9])月(?!\d)"), _whole_month
    yield re.compile(rf"\b{_COUNT} {_UNIT} (?:ago|back|before)\b"), _ago
    yield re.compile(rf"(?P<count>{_CN})个?(?P<unit>天|日|周|星期|月|年)(?:以)?前"), _chinese_ago
    yield re.compile("|".join(sorted(map(_spaced, _SHIFTS), key=len, reverse=True))), _shift
    yield re.compile(rf"\b(?P<step>last|past|previous|this|next|coming) {_UNIT}\b"), _step
    yield re.compile(rf"\b(?:(?P<step>last|past|previous|this|next|coming|on) )?{_WEEKDAY}\b"), _weekday
    yield (
        re.compile("(?P<step>[上这下])?个?(?:周|星期|礼拜)(?P<weekday>[一二三四五六日天])"),
        _chinese_weekday,
    )
    yield re.compile("(?P<step>[上这下])个?(?P<unit>周末|周|星期|月)"), _chinese_step
    yield re.compile("[前去今明]年"), _chinese_year
    yield re.compile(rf"\b{_YEAR}(?:年|(?!\w))"), _whole_year


def _spaced(words: str) -> str:
    return rf"\b{words}\b" if words.isascii() else words


_READERS = tuple(_readers())
