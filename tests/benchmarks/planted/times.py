"""Times as people say them, and what they mean."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from random import Random

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


@dataclass(frozen=True, slots=True)
class When:
    """A time in the words of a message, and the first and last day that it may mean."""

    text: str
    first: date
    last: date


def _days(text: str, first: date, length: int = 1) -> When:
    return When(text, first, first + timedelta(days=length - 1))


def _weekday_before(day: date, rng: Random) -> When:
    found = day - timedelta(days=rng.randint(2, 6))
    name = WEEKDAYS[found.weekday()]
    return _days(rng.choice((f"last {name}", f"on {name}", f"this {name}")), found)


def _weekday_after(day: date, rng: Random) -> When:
    found = day + timedelta(days=rng.randint(2, 7))
    return _days(rng.choice(("on {}", "this {}", "next {}")).format(WEEKDAYS[found.weekday()]), found)


def _weekend_after(day: date, _: Random) -> When:
    this = day.weekday() < 4
    return _days(
        "this weekend" if this else "next weekend", _monday(day) + timedelta(days=5 if this else 12), 2
    )


def _monday(day: date) -> date:
    return day - timedelta(days=day.weekday())


def _last_month(day: date, _: Random) -> When:
    last = day.replace(day=1) - timedelta(days=1)
    return When("last month", last.replace(day=1), last)


def _next_month(day: date, _: Random) -> When:
    first = (day.replace(day=28) + timedelta(days=4)).replace(day=1)
    return When("next month", first, (first.replace(day=28) + timedelta(days=4)).replace(day=1) - DAY)


def _ago(day: date, rng: Random) -> When:
    count = rng.randint(2, 3)
    word = {2: "two", 3: "three"}[count]
    return rng.choice(
        (
            _days(f"{word} days ago", day - timedelta(days=count)),
            _days(f"{word} weeks ago", _monday(day) - timedelta(weeks=count), 7),
        )
    )


def _on_date(day: date, rng: Random) -> When:
    found = day - timedelta(days=rng.randint(3, 12))
    return _days(f"on {found.day} {found:%B}" if rng.random() < 0.5 else f"on {found:%B} {found.day}", found)


DAY = timedelta(days=1)
PAST: tuple[Callable[[date, Random], When], ...] = (
    lambda day, _: _days("yesterday", day - DAY),
    lambda day, _: _days("today", day),
    lambda day, _: _days("this morning", day),
    lambda day, _: _days("last night", day - DAY),
    lambda day, _: _days("last week", _monday(day) - timedelta(weeks=1), 7),
    lambda day, _: _days("last weekend", _monday(day) - timedelta(days=2), 2),
    lambda day, _: _days("a few days ago", day - timedelta(days=5), 4),
    _weekday_before,
    _weekday_before,
    _last_month,
    _ago,
    _on_date,
)
COMING: tuple[Callable[[date, Random], When], ...] = (
    lambda day, _: _days("tomorrow", day + DAY),
    lambda day, _: _days("next week", _monday(day) + timedelta(weeks=1), 7),
    _weekend_after,
    lambda day, _: _days("in two weeks", _monday(day) + timedelta(weeks=2), 7),
    _weekday_after,
    _next_month,
)


def past(day: date, rng: Random) -> When:
    """Some time before or on ``day``, as said on that day."""
    return rng.choice(PAST)(day, rng)


def coming(day: date, rng: Random) -> When:
    """Some time after ``day``, as said on that day."""
    return rng.choice(COMING)(day, rng)


def on(day: date, rng: Random) -> str:
    """A day as a question names it."""
    forms = (
        f"{day.day} {day:%B}, {day.year}",
        f"{day:%B} {day.day}, {day.year}",
        f"{day.day} {day:%B}",
        f"{day:%B} {day.day}",
    )
    return f"on {rng.choice(forms)}"


def within(day: date, rng: Random) -> str:
    """A day's month as a question names it."""
    return rng.choice((f"in {day:%B} {day.year}", f"in {day:%B}, {day.year}", f"in {day:%B}"))


def seen_from(today: date, day: date, rng: Random) -> str | None:
    """``day`` in words that refer to ``today``; None where it is too long ago for such words."""
    passed = (today - day).days
    if passed == 1:
        return "yesterday"
    if 2 <= passed <= 6:
        return f"last {WEEKDAYS[day.weekday()]}"
    if day in (_monday(today) - DAY, _monday(today) - 2 * DAY):
        return "last weekend"
    if _monday(day) == _monday(today) - timedelta(weeks=1):
        return "last week"
    if 12 <= passed <= 16:
        return "two weeks ago"
    return None
