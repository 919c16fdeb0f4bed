"""Expressions of time in a question become windows, counted from Wednesday 20 May 2026, 14:05."""

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from personavlm.platform.engines.rules.dates import window_of

NOW = datetime(2026, 5, 20, 14, 5)


def shown(text: str, now: datetime = NOW) -> str:
    window = window_of(text, now)
    return " to ".join(f"{bound:%Y-%m-%d %H:%M}" if bound else "open" for bound in (window.start, window.end))


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("What did I do yesterday?", "05-19", "05-19"),
        ("the day before yesterday", "05-18", "05-18"),
        ("What did I say earlier today?", "05-20", "05-20"),
        ("What did I paint last Sunday?", "05-17", "05-17"),
        ("on Wednesday", "05-13", "05-13"),
        ("what I told you last Wednesday", "05-13", "05-13"),
        ("What did I tell you last week about the tea?", "05-11", "05-17"),
        ("have I run this week?", "05-18", "05-24"),
        ("what did I do over the weekend", "05-16", "05-17"),
        ("last weekend", "05-16", "05-17"),
        ("last month", "04-01", "04-30"),
        ("in March", "03-01", "03-31"),
        ("in early March", "03-01", "03-12"),
        ("mid-April", "04-09", "04-22"),
        ("at the end of April", "04-19", "04-30"),
        ("the last week of April", "04-24", "04-30"),
        ("two weeks ago", "05-04", "05-08"),
        ("over a week ago", "04-29", "05-13"),
        ("a few days ago", "05-14", "05-19"),
        ("a couple of weeks ago", "04-29", "05-15"),
        ("a few Saturdays ago", "04-11", "05-16"),
        ("two Saturdays ago", "05-09", "05-09"),
        ("in the last two weeks", "05-06", "05-20"),
        ("5 days ago", "05-15", "05-15"),
        ("on 3 May", "05-03", "05-03"),
        ("on May 3rd, 2026", "05-03", "05-03"),
        ("on the 14th of April", "04-14", "04-14"),
        ("2026-05-03", "05-03", "05-03"),
        ("17.05.2026", "05-17", "05-17"),
        ("on the 31st", "03-31", "03-31"),
        ("between 3 May and 10 May", "05-03", "05-10"),
        ("last spring", "03-01", "05-31"),
        ("30 February 2026", "02-01", "02-28"),
        ("the other day", "05-10", "05-20"),
    ],
)
def test_whole_days(text: str, first: str, last: str) -> None:
    assert shown(text) == f"2026-{first} 00:00 to 2026-{last} 23:59"


@pytest.mark.parametrize(
    ("text", "window"),
    [
        ("What did I drink this morning?", "2026-05-20 00:00 to 2026-05-20 12:59"),
        ("last Tuesday evening", "2026-05-19 17:00 to 2026-05-19 23:59"),
        ("what did I watch last night", "2026-05-19 18:00 to 2026-05-20 04:59"),
        ("last December", "2025-12-01 00:00 to 2025-12-31 23:59"),
        ("in 2024", "2024-01-01 00:00 to 2024-12-31 23:59"),
        ("the trip of March 2025", "2025-03-01 00:00 to 2025-03-31 23:59"),
        ("last winter", "2025-12-01 00:00 to 2026-02-28 23:59"),
        ("since April", "2026-04-01 00:00 to 2026-05-20 14:05"),
        ("since last Tuesday", "2026-05-19 00:00 to 2026-05-20 14:05"),
        ("after 3 May", "2026-05-03 23:59 to 2026-05-20 14:05"),
        ("before April", "open to 2026-03-31 23:59"),
        ("until last month", "open to 2026-04-30 23:59"),
    ],
)
def test_parts_of_days_and_open_sides(text: str, window: str) -> None:
    assert shown(text) == window


@pytest.mark.parametrize(
    "text",
    [
        "What do I like to drink?",
        "Every Sunday I run, what about you?",
        "What am I doing next Sunday?",
        "What are my plans for Friday?",
        "May I sit on the sat nav in the sun?",
        "We march on, come what may",
        "How many of the second crane are left?",
        "100000 years ago",
        "",
    ],
)
def test_no_time_no_window(text: str) -> None:
    assert shown(text) == "open to open"


def test_the_year_turns() -> None:
    assert shown("in December", datetime(2026, 1, 3, 9)) == "2025-12-01 00:00 to 2025-12-31 23:59"
    assert shown("last month", datetime(2026, 1, 3, 9)) == "2025-12-01 00:00 to 2025-12-31 23:59"


WORDS = [
    "last",
    "next",
    "two",
    "99",
    "weeks",
    "week",
    "ago",
    "before",
    "since",
    "Sunday",
    "March",
    "May",
    "31",
]
texts = st.one_of(
    st.text(),
    st.lists(st.sampled_from([*WORDS, "2026", "0000-00-00", "the", "of", "end", "in"]), max_size=8).map(
        " ".join
    ),
)


@given(texts, st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1)))
def test_any_text_has_a_window_or_none(text: str, now: datetime) -> None:
    window = window_of(text, now)
    assert window.start is None or window.start <= now
