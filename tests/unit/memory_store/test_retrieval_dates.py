"""Days that a text names, in English and in Chinese."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from personavlm.memory_store.retrieval.dates import LAST_DAY, Days, day_number, days_in, weekdays_in

TODAY = date(2023, 5, 17)  # a Wednesday


def span(first: date, last: date | None = None) -> Days:
    return Days(day_number(first), day_number(last or first))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("on 7 May, 2023", span(date(2023, 5, 7))),
        ("the 7th of May", span(date(2023, 5, 7))),
        ("December 31st", span(date(2022, 12, 31))),
        ("Jan. 2, 2024", span(date(2024, 1, 2))),
        ("2023-05-07", span(date(2023, 5, 7))),
        ("2023年5月7日", span(date(2023, 5, 7))),
        ("5月7号", span(date(2023, 5, 7))),
        ("in May 2022", span(date(2022, 5, 1), date(2022, 5, 31))),
        ("in June", span(date(2023, 6, 1), date(2023, 6, 30))),
        ("in may", span(date(2023, 5, 1), date(2023, 5, 31))),
        ("2022年12月", span(date(2022, 12, 1), date(2022, 12, 31))),
        ("since 2016", span(date(2016, 1, 1), date(2016, 12, 31))),
        ("yesterday", span(date(2023, 5, 16))),
        ("the day before yesterday", span(date(2023, 5, 15))),
        ("昨天", span(date(2023, 5, 16))),
        ("last Friday", span(date(2023, 5, 12))),
        ("last Wednesday", span(date(2023, 5, 10))),
        ("next Monday", span(date(2023, 5, 22))),
        ("上周五", span(date(2023, 5, 12))),
        ("星期一", span(date(2023, 5, 15))),
        ("two weeks ago", span(date(2023, 5, 1), date(2023, 5, 5))),
        ("a few days ago", span(date(2023, 5, 14))),
        ("三天前", span(date(2023, 5, 14))),
        ("十二天前", span(date(2023, 5, 5))),
        ("last week", span(date(2023, 5, 8), date(2023, 5, 14))),
        ("last weekend", span(date(2023, 5, 13), date(2023, 5, 14))),
        ("上个月", span(date(2023, 4, 1), date(2023, 4, 30))),
        ("last year", span(date(2022, 1, 1), date(2022, 12, 31))),
        ("去年", span(date(2022, 1, 1), date(2022, 12, 31))),
    ],
)
def test_days(text: str, expected: Days) -> None:
    assert days_in(f"We met {text} there", day_number(TODAY)) == [expected]


@pytest.mark.parametrize(
    "text", ["I may march on", "30 February", "room 2023b", "31 June was sold out", "99月", "0000-00-00"]
)
def test_what_is_no_day(text: str) -> None:
    assert days_in(text, day_number(TODAY)) == []


def test_a_date_without_a_year_is_the_nearest() -> None:
    assert days_in("on 30 December", day_number(date(2024, 1, 3))) == [span(date(2023, 12, 30))]
    assert days_in("on 3 January", day_number(date(2023, 12, 30))) == [span(date(2024, 1, 3))]
    assert days_in("29 February", day_number(date(2024, 3, 1))) == [span(date(2024, 2, 29))]


def test_several_days_each_once() -> None:
    found = days_in("yesterday, 7 May and again yesterday", day_number(TODAY))
    assert sorted(found) == [span(date(2023, 5, 7)), span(date(2023, 5, 16))]


def test_weekdays() -> None:
    assert weekdays_in("on Mondays and 周日, 星期天") == {0, 6}
    assert weekdays_in("no day") == frozenset()


@given(st.text(), st.integers(0, LAST_DAY))
def test_any_text_can_be_read(text: str, today: int) -> None:
    assert all(days.first <= days.last for days in days_in(text, today))
