"""The planted conversations: the same for a seed, with evidence that is there and rightly dated."""

import re
from collections import Counter
from collections.abc import Callable
from datetime import date
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.benchmarks.planted.chats import chats
from tests.benchmarks.planted.chinese import chinese
from tests.benchmarks.planted.friends import friends
from tests.benchmarks.planted.records import ASSISTANT, CATEGORIES, USER, Conversation
from tests.benchmarks.planted.times import coming, past, seen_from
from tests.benchmarks.planted.topics import english, parse
from tests.benchmarks.planted.wording import YOU, Person, asked_of, put_to, told

MAKERS = pytest.mark.parametrize("make", [friends, chats, chinese])
Make = Callable[[int], Conversation]
MONTHS = [f"{date(2023, month, 1):%B}" for month in range(1, 13)]


@MAKERS
def test_a_seed_gives_one_conversation(make: Make) -> None:
    assert make(3) == make(3)
    assert make(3).messages != make(4).messages


@MAKERS
def test_evidence_is_there_in_order_of_time(make: Make) -> None:
    conversation = make(5)
    times = {message.id: message.time for message in conversation.messages}
    assert len(times) == len(conversation.messages)
    for question in conversation.questions:
        dates = [times[id] for id in question.evidence]
        assert dates == sorted(dates) and dates[-1] < question.asked_at
        assert len(set(question.evidence)) == len(question.evidence) > 0


@MAKERS
def test_messages_follow_one_another_in_time_by_turns(make: Make) -> None:
    messages = make(6).messages
    assert [message.time for message in messages] == sorted(message.time for message in messages)
    for session in make(6).sessions():
        assert all(a.speaker != b.speaker for a, b in pairwise(session))


@MAKERS
def test_no_two_questions_are_alike_and_no_placeholder_is_left(make: Make) -> None:
    for seed in range(4):
        conversation = make(seed)
        texts = [question.text for question in conversation.questions]
        assert len(set(texts)) == len(texts)
        spoken = [message.text + message.caption for message in conversation.messages]
        assert not [text for text in texts + spoken if re.search(r"[{}|]", text)]


def test_every_category_occurs_with_few_and_many_evidence_messages() -> None:
    questions = [question for seed in range(6) for question in friends(seed).questions]
    assert set(Counter(question.category for question in questions)) == set(CATEGORIES)
    counts = {len(question.evidence) for question in questions if question.category == "multi-hop"}
    assert {2, 3, 4} <= counts


def test_friends_are_asked_about_by_name_and_swapped_in_adversarial_questions() -> None:
    conversation = friends(8)
    speakers = {message.id: message.speaker for message in conversation.messages}
    for question in conversation.questions:
        tellers = {speakers[id] for id in question.evidence}
        named = {name for name in conversation.speakers if name in question.text}
        assert len(named) == 1
        assert (tellers == named) == (question.category != "adversarial")


def test_users_ask_what_they_told_and_what_the_assistant_suggested() -> None:
    conversation = chats(8)
    speakers = {message.id: message.speaker for message in conversation.messages}
    assert conversation.speakers == (USER, ASSISTANT)
    asked: Counter[str] = Counter()
    for question in conversation.questions:
        (teller,) = {speakers[id] for id in question.evidence}
        assert (teller == ASSISTANT) == (" did you " in question.text)
        assert re.search(r"\b(I|my|me|myself|you)\b", question.text)
        asked[teller] += 1
    assert asked[USER] > asked[ASSISTANT] > 0


def test_questions_that_name_a_day_have_their_evidence_on_it() -> None:
    dated = re.compile(rf"on (\d+) ({'|'.join(MONTHS)}), (\d+)\?$")
    found = 0
    for seed in range(6):
        days = {message.id: message.time.date() for message in friends(seed).messages}
        for question in friends(seed).questions:
            if match := dated.search(question.text):
                day = date(int(match[3]), MONTHS.index(match[2]) + 1, int(match[1]))
                assert [days[id] for id in question.evidence] == [day]
                found += 1
    assert found


@given(st.dates(date(2020, 1, 1), date(2030, 1, 1)), st.integers(0, 1000))
def test_past_lies_before_and_what_comes_lies_after(day: date, seed: int) -> None:
    before, after = past(day, Random(seed)), coming(day, Random(seed))
    assert before.first <= before.last <= day < after.first <= after.last


@given(st.dates(date(2020, 1, 1), date(2030, 1, 1)), st.integers(1, 30), st.integers(0, 9))
def test_relative_words_fit_the_distance(today: date, passed: int, seed: int) -> None:
    day = date.fromordinal(today.toordinal() - passed)
    words = seen_from(today, day, Random(seed))
    assert (words == "yesterday") == (passed == 1)
    if words and words.removeprefix("last ") == f"{day:%A}":
        assert passed < 7


def test_a_question_in_every_person() -> None:
    template = "What does {P} do when {Ps} {a} barks? Is {P} fond of {their} {a}?"
    values = {"a": "dog"}
    she = asked_of(template, Person("Runa", "she"), values)
    assert she == "What does Runa do when Runa's dog barks? Is Runa fond of her dog?"
    assert asked_of(template, None, values) == "What do I do when my dog barks? Am I fond of my dog?"
    assert asked_of(template, YOU, values) == "What do you do when your dog barks? Are you fond of your dog?"


def test_values_are_put_in_as_said_and_turned_for_the_other() -> None:
    values = {"a": "my aunt", "x": "a kite"}
    assert told("{X} for {a}!", values, Random(1)) == "A kite for my aunt!"
    assert put_to("Is it {x} for {a}?", values) == "Is it a kite for your aunt?"


def test_topics_are_many_and_complete() -> None:
    assert len(english()) >= 30
    for topic in english():
        assert topic.chat
        for matter in topic.matters:
            assert matter.ask and (matter.items or matter.say)
            assert not matter.bare or matter.lead


def test_a_line_without_field_is_refused() -> None:
    with pytest.raises(ValueError, match="no field"):
        parse("# pets\nfact\nask What?")


def test_chinese_questions_are_chinese_and_of_three_categories() -> None:
    questions = [question for seed in range(3) for question in chinese(seed).questions]
    assert all(re.search(r"[\u4e00-\u9fff]\uff1f$", question.text) for question in questions)
    assert {question.category for question in questions} == {"single-hop", "temporal", "multi-hop"}
