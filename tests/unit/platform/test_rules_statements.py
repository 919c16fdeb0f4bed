"""Which sentences state something, and which day their dates mean."""

from datetime import datetime

import pytest

from personavlm.platform.engines.rules.absolute_dates import with_absolute_dates
from personavlm.platform.engines.rules.statements import read_statements

NOW = datetime(2026, 5, 20, 10)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I ran the 10k last Sunday.", "I ran the 10k last Sunday (17 May 2026)."),
        ("I'm flying to Lisbon on Friday.", "I'm flying to Lisbon on Friday (22 May 2026)."),
        ("We had dinner on Friday.", "We had dinner on Friday (15 May 2026)."),
        ("My exam is on 12 June.", "My exam is on 12 June (2026)."),
        ("Two weeks ago I moved.", "Two weeks ago (around 6 May 2026) I moved."),
        ("Next month I start.", "Next month (June 2026) I start."),
        ("Ana visits this weekend.", "Ana visits this weekend (weekend of 23 May 2026)."),
        ("I slept badly last night.", "I slept badly last night (Tuesday 19 May 2026)."),
        ("I run every Tuesday and Thursday.", "I run every Tuesday and Thursday."),
        ("I was born on 3 March 1990.", "I was born on 3 March 1990."),
        ("I may march on.", "I may march on."),
        ("The race is on Sunday 7 June.", "The race is on Sunday 7 June (2026)."),
        (
            "She is my new planning lead, she started on Monday.",
            "She is my new planning lead, she started on Monday (18 May 2026).",
        ),
        ("I asked for two weeks off in June.", "I asked for two weeks off in June (June 2026)."),
        ("We talked about the Alps in December.", "We talked about the Alps in December."),
        ("On today's list: the dentist.", "On today's list: the dentist."),
        ("He cancelled the second Thursday in a row.", "He cancelled the second Thursday in a row."),
    ],
)
def test_relative_dates_become_absolute(text: str, expected: str) -> None:
    assert with_absolute_dates(text, NOW) == expected


@pytest.mark.parametrize(
    ("text", "category", "kept"),
    [
        ("Please remember that I'm allergic to peanuts.", "fact", "I'm allergic to peanuts."),
        ("Oh hey, by the way, I love mango.", "preference", "I love mango."),
        ("My sister Ana lives in Porto.", "fact", "My sister Ana lives in Porto."),
        ("We adopted a dog. He's called Biscuit.", "fact", "We adopted a dog. He's called Biscuit."),
        ("I really like olives now, can you believe it?", "preference", "I really like olives now."),
        ("Keep your answers short, please.", "directive", "Keep your answers short, please."),
        ("I watched Dune with Ana. I loved it.", "preference", "I watched Dune with Ana. I loved it."),
        (
            "No long run today, my training plan says rest.",
            "fact",
            "No long run today, my training plan says rest.",
        ),
        ("No, I love olives.", "preference", "I love olives."),
    ],
)
def test_statements_are_kept_in_the_users_words(text: str, category: str, kept: str) -> None:
    [statement] = read_statements(text)
    assert (statement.category, statement.text) == (category, kept)


@pytest.mark.parametrize(
    "text",
    [
        "Can you recommend a film?",
        "Thanks, that was great!",
        "I'd like to know what to cook tonight.",
        "I have a question about taxes.",
        "I like that idea.",
        "What do you think I should wear?",
        "",
        "ok",
    ],
)
def test_small_talk_and_questions_are_no_statements(text: str) -> None:
    assert read_statements(text) == ()
