"""What a query asks for, whose words it means, and what leaves it before it is encoded."""

import pytest

from personavlm.memory_store.retrieval.cues import Cue, asked_for, cues_of, is_question
from personavlm.memory_store.retrieval.names import Participants, Speaker, asked_of, without_names

BOTH = Participants("Ana Sousa", "Ben")


@pytest.mark.parametrize(
    ("text", "names", "expected"),
    [
        ("When did MEL and Melanie go?", ["Mel", "Melanie"], "When did and go?"),
        ("Melody's melon", ["Mel"], "Melody's melon"),
        ("Anna\u2019s tea", ["anna"], "tea"),
        ("小明昨天去哪", ["小明"], "昨天去哪"),
        ("Anna?", ["Anna"], "Anna?"),
        ("a+b (C++)", ["C++"], "a+b ( )"),
        ("tea", ["", "x"], "tea"),
    ],
)
def test_without_names(text: str, names: list[str], expected: str) -> None:
    assert without_names(text, names) == expected


def test_parts_of_a_name_are_names() -> None:
    assert set(BOTH.names) == {"Ana Sousa", "Ben", "Ana", "Sousa"}
    assert Participants().names == ()


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("What did Ana paint?", Speaker.USER),
        ("What is BEN's job?", Speaker.ASSISTANT),
        ("What did Ana tell Ben?", Speaker.NOBODY),
        ("Where is the museum?", Speaker.NOBODY),
        ("Where does my sister live?", Speaker.USER),
        ("Which book did you recommend to me?", Speaker.ASSISTANT),
        ("What was your advice?", Speaker.ASSISTANT),
        ("Can you find when I last ran?", Speaker.USER),
        ("Banana bread", Speaker.NOBODY),
        ("我妹妹住在哪里?", Speaker.USER),
        ("你推荐了哪本书?", Speaker.ASSISTANT),
    ],
)
def test_whose_words_are_asked_for(query: str, expected: Speaker) -> None:
    assert asked_of(query, BOTH) == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("When did she move?", Cue.TIME),
        ("How many cats?", Cue.NUMBER),
        ("Who came, and when?", Cue.TIME | Cue.NAME),
        ("她什么时候搬家?", Cue.TIME),
        ("她有几只猫?", Cue.NUMBER),
        ("谁来了?", Cue.NAME),
        ("Tell me about tea", Cue.NONE),
    ],
)
def test_what_is_asked_for(query: str, expected: Cue) -> None:
    assert asked_for(query) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I moved last week", Cue.TIME),
        ("three cats", Cue.NUMBER),
        ("then I met Bob", Cue.NAME),
        ("我昨天去了", Cue.TIME),
        ("Nice day!", Cue.NONE),
        ("Is it nice?", Cue.QUESTION),
    ],
)
def test_what_a_text_holds(text: str, expected: Cue) -> None:
    assert cues_of(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Why? Because.", False),
        ("So why? \U0001f600", True),
        ('She said "why?"', True),
        ("为什么\uff1f", True),
        ("", False),
    ],
)
def test_questions(text: str, expected: bool) -> None:
    assert is_question(text) is expected
