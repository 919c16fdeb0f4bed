"""Completions become steps: both forms of a retrieval, every repair, and nothing ever raises."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from personavlm.memory_store.queries import Window
from personavlm.platform.agent.grammar import Answer, Retrieve, parse, read_time

ZONE = timezone(timedelta(hours=2))
TAGS = [f"<{slash}{name}>" for slash in ("", "/") for name in ("think", "answer", "retrieve", "ANSWER")]
FIELDS = ['{"keywords": "tea"}', '"start_time": "2026-05-17"', "{", '"', "tea", " ", "\n"]
completions = st.one_of(
    st.text(),
    st.lists(st.one_of(st.sampled_from(TAGS + FIELDS), st.text(max_size=4)), max_size=14).map("".join),
)


def retrieve(body: str) -> str:
    return f"<think>look it up</think>\n<retrieve>{body}</retrieve>"


def test_an_answer() -> None:
    step = parse("<think>She likes tea.</think><answer>\nTea, with <b>milk</b>.\n</answer>")
    assert step.thinking == "She likes tea."
    assert step.action == Answer("Tea, with <b>milk</b>.")
    assert step.repaired == ""


@pytest.mark.parametrize(
    "body",
    [
        '{"keywords": "tea, milk", "start_time": "2026-05-16 09:30", "end_time": "2026-05-17 14:05"}',
        '\n"keywords": "tea, milk"\n"start_time": "2026-05-16 09:30"\n"end_time": "2026-05-17 14:05"\n',
        '"keywords": tea, milk\n"start_time": 2026-05-16 09:30 Saturday,\n"end_time": 2026-05-17 14:05',
        '```{"keywords": ["tea", "milk"], "start_time": "2026/5/16T9:30",\n"end_time": "2026-05-17 14:05",}',
    ],
)
def test_a_retrieval_in_every_form(body: str) -> None:
    action = parse(retrieve(body), zone=ZONE).action
    assert isinstance(action, Retrieve)
    assert action.keywords == "tea, milk"
    assert action.window == Window(
        datetime(2026, 5, 16, 7, 30, tzinfo=UTC), datetime(2026, 5, 17, 12, 5, 59, 999999, tzinfo=UTC)
    )


@pytest.mark.parametrize("absent", ["null", '"null"', '""', '"None"'])
def test_a_missing_bound_stays_open(absent: str) -> None:
    step = parse(retrieve(f'{{"keywords": "tea", "start_time": {absent}, "end_time": "2026-05-17"}}'))
    assert step.action == Retrieve("tea", Window(None, datetime(2026, 5, 17, 23, 59, 59, 999999, tzinfo=UTC)))
    assert step.repaired == ""


def test_a_bad_date_leaves_that_bound_open() -> None:
    step = parse(retrieve('{"keywords": "tea", "start_time": "2026-02-30", "end_time": "2026-05-17"}'))
    assert isinstance(step.action, Retrieve)
    assert step.action.window.start is None and step.action.window.end is not None
    assert step.repaired == "start_time is not a time"


def test_a_window_that_ends_before_it_starts_is_dropped() -> None:
    step = parse(retrieve('{"keywords": "tea", "start_time": "2026-05-18", "end_time": "2026-05-17"}'))
    assert step.action == Retrieve("tea")
    assert step.repaired == "the window ended before it started"


def test_one_day_is_a_window() -> None:
    step = parse(retrieve('{"keywords": "tea", "start_time": "2026-05-17", "end_time": "2026-05-17"}'))
    assert isinstance(step.action, Retrieve)
    assert step.action.window.overlaps(*[datetime(2026, 5, 17, 23, 59, 30, tzinfo=UTC)] * 2)


def test_without_keywords_the_message_is_searched_for() -> None:
    step = parse(retrieve('{"start_time": "2026-05-17"}'), query=" my tea ")
    assert isinstance(step.action, Retrieve)
    assert step.action.keywords == "my tea" and step.action.window.start is not None
    assert not step.malformed


@pytest.mark.parametrize("order", ["{r}{a}", "{a}{r}", "<think>x</think>{a}\n{r}"])
def test_retrieve_wins_over_answer(order: str) -> None:
    text = order.format(a="<answer>Tea.</answer>", r='<retrieve>{"keywords": "tea"}</retrieve>')
    assert parse(text).action == Retrieve("tea")


@pytest.mark.parametrize(
    "text",
    [
        "<answer>Tea.</answer>",
        "<think>hm <answer>Tea.</answer>",
        '<think>hm</think><retrieve>{"keywords": <answer>Tea.</answer>',
        "hm</think><answer>Tea.",
        "Well. <Answer>Tea.</ANSWER> Bye.",
    ],
)
def test_an_answer_in_a_broken_frame_is_used(text: str) -> None:
    assert parse(text, query="q").action == Answer("Tea.")


def test_tags_that_are_only_talked_about_do_nothing() -> None:
    step = parse("<think>end with <answer> or <retrieve></think><answer>Use <think> and <retrieve>.</answer>")
    assert step.thinking == "end with <answer> or <retrieve>"
    assert step.action == Answer("Use <think> and <retrieve>.")
    assert parse('<retrieve>{"keywords": "<answer> tag"}</retrieve>').action == Retrieve("<answer> tag")


@pytest.mark.parametrize(
    "text", ["", "Tea.", "<think>tea", "<answer></answer>", "<retrieve>{]</retrieve>", "<retrieve>tea"]
)
def test_anything_else_searches_for_the_message(text: str) -> None:
    step = parse(text, query="my tea?")
    assert step.action == Retrieve("my tea?")
    assert step.malformed and "searched for the message" in step.repaired


def test_plain_text_is_accepted_the_second_time_but_thinking_is_not_shown() -> None:
    assert parse("<think>secret</think> Tea.", accept_plain=True).action == Answer("Tea.")
    assert parse("<think>secret <answer>", accept_plain=True).action == Answer("")
    assert parse("secret</think>Tea.", accept_plain=True).action == Answer("Tea.")
    assert parse('<retrieve>{"keywords": "tea"}</retrieve>', accept_plain=True).action == Retrieve("tea")


@pytest.mark.parametrize(
    "text",
    [
        "0000-01-01",
        "9999-12-31",
        "2026-13-01",
        "2026-05-17 25:00",
        "2026-05-17 10:00+99:99",
        "soon",
        "9" * 5000,
    ],
)
def test_times_that_are_none(text: str) -> None:
    assert read_time(text, timezone(timedelta(hours=-5)), end=True) is None


def test_a_time_with_its_own_offset_keeps_it() -> None:
    assert read_time("2026-05-17T14:05:09Z", ZONE) == datetime(2026, 5, 17, 14, 5, 9, tzinfo=UTC)
    assert read_time("2026-05-17 14:05+05:30", ZONE) == datetime(2026, 5, 17, 8, 35, tzinfo=UTC)


@given(completions, st.text(), st.booleans())
def test_any_text_is_a_step(text: str, query: str, accept_plain: bool) -> None:
    step = parse(text, query, ZONE, accept_plain=accept_plain)
    match step.action:
        case Answer(answer):
            assert answer == answer.strip()
            assert answer or accept_plain
        case Retrieve(keywords, window):
            assert keywords or not query.strip()
            assert all(bound is None or bound.tzinfo is UTC for bound in (window.start, window.end))


def test_deep_nesting_is_no_way_to_crash_it() -> None:
    for body in ("[" * 100_000, '{"keywords": ' + "[" * 900 + "]" * 900 + "}", '{"a":' * 50_000):
        assert parse(retrieve(body), query="q").action == Retrieve("q")


@given(st.text().filter(lambda text: "<" not in text and text.strip()), st.text())
def test_what_stands_between_the_tags_is_what_comes_out(answer: str, thinking: str) -> None:
    thinking = thinking.replace("<", "")
    step = parse(f"<think>{thinking}</think><answer>{answer}</answer>")
    assert (step.thinking, step.action, step.repaired) == (thinking.strip(), Answer(answer.strip()), "")
