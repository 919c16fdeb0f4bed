"""Plans and lives keep their laws for every person, and each rule finds what breaks it."""

from __future__ import annotations

from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from personavlm.jobs.synthesize.asks import Ask, Asker, with_form
from personavlm.jobs.synthesize.checks import (
    ask_problems,
    exchange_problems,
    life_problems,
    reply_problems,
    unseen,
)
from personavlm.jobs.synthesize.config import QuestionForms, SynthesizeConfig
from personavlm.jobs.synthesize.life import Life
from personavlm.jobs.synthesize.pictures import draw
from personavlm.jobs.synthesize.pipeline import synthesize
from personavlm.jobs.synthesize.plan import plan_life
from personavlm.jobs.synthesize.recorder import Exchange
from personavlm.platform.encoders.image_descriptor import ImageDescriptor
from personavlm.platform.engines.base import Segment
from personavlm.platform.errors import CommandError
from tests.unit.jobs.synthesize.small import config, life

ranges = st.tuples(st.integers(12, 100), st.integers(0, 60)).map(lambda pair: (pair[0], sum(pair)))


@given(st.integers(0, 10**6), ranges, st.sampled_from([0.15, 0.18, 0.4]))
@settings(max_examples=40, deadline=None)
def test_lives_keep_the_rules(number: int, turns: tuple[int, int], share: float) -> None:
    one = life(number, turns=turns, image_share=share)
    assert life_problems(one, share) == []
    assert turns[0] <= len(one.turns) <= turns[1]
    assert Life.model_validate_json(one.model_dump_json()) == one


@given(st.integers(0, 10**6))
@settings(max_examples=25, deadline=None)
def test_questions_rest_on_older_turns_that_say_the_answer(number: int) -> None:
    one = life(number)
    now = one.turns[-1].time + timedelta(hours=2)
    by_id = {turn.id: turn for turn in one.turns}
    for place, ask in enumerate(Asker(one.persona, one.turns, now, Random(number)).all()):
        asked = with_form(ask, f"q{place}", now, QuestionForms(), Random(place))
        assert list(ask_problems(asked, one.turns)) == []
        assert asked.options.count(asked.gold) == bool(asked.options)
        said = " ".join(by_id[id].user_text + str(by_id[id].beat.picture) for id in ask.evidence).casefold()
        assert not ask.evidence or ask.gold.casefold() in said


def test_what_drifts_is_what_was_asked_for() -> None:
    steady, moving = (dict.fromkeys(("preference", "topic", "personality"), share) for share in (0, 1))
    for number in range(10):
        still = plan_life(config(turns=(60, 60), drift=steady), number)
        assert not any(turn.beat.previous for turn in still.turns())
        assert still.persona.traits == still.persona.later_traits
        moved = plan_life(config(turns=(60, 60), drift=moving), number)
        assert sum(bool(turn.beat.previous) for turn in moved.turns()) > 5
        assert moved.persona.traits != moved.persona.later_traits
        topics = [turn.beat.more["topic"] for turn in moved.turns() if turn.beat.kind == "event"]
        assert topics[0] != topics[-1]


def test_another_photo_shows_the_same_thing_to_the_encoder() -> None:
    encoder = ImageDescriptor()
    pictures = [turn.beat.picture for turn in life(3, turns=(60, 60)).turns if turn.beat.picture]
    again = [picture.model_copy(update={"seed": picture.seed + 1}) for picture in pictures]
    alike = encoder.encode([draw(one) for one in pictures]) @ encoder.encode([draw(one) for one in again]).T
    assert (alike.argmax(axis=1) == range(len(pictures))).mean() >= 0.8
    assert draw(pictures[0]) == draw(pictures[0]) != draw(again[0])


def test_each_rule_of_lives_finds_what_breaks_it() -> None:
    one = life()
    turns = list(one.turns)
    late = turns[3].model_copy(update={"time": turns[2].time})
    assert "is not later" in broken(one, {3: late})
    apart = turns[1].model_copy(update={"session": 7})
    assert "pauses of an hour" in broken(one, {1: apart})
    dumb = turns[1].model_copy(update={"assistant_text": " "})
    assert "the assistant says nothing" in broken(one, {1: dumb})
    place = next(number for number, turn in enumerate(turns) if turn.beat.kind == "preference")
    vague = turns[place].model_copy(update={"user_text": "I like things."})
    assert f"does not say '{turns[place].beat.value}'" in broken(one, {place: vague})
    again = turns[place].model_copy(update={"id": "again", "time": turns[place].time + timedelta(minutes=1)})
    assert f"repeats the words of {turns[place].id}" in broken(one, {len(turns) - 1: again})
    assert "99% are asked for" in " ".join(life_problems(one, 0.99))


def broken(one: Life, changed: dict) -> str:
    turns = tuple(changed.get(number, turn) for number, turn in enumerate(one.turns))
    return " ".join(life_problems(one.model_copy(update={"turns": turns}), 0.15))


def test_evidence_must_exist_and_be_older() -> None:
    one = life()
    ask = Ask(
        id="q", kind="event", time=one.turns[2].time, text="Where?", gold="here", evidence=("turn-0002", "x")
    )
    assert [problem.partition("evidence ")[2] for problem in ask_problems(ask, one.turns)] == [
        "turn-0002 is not older than the question",
        "x is no turn",
    ]


def test_replies_may_not_tell_what_was_not_shown() -> None:
    question = Segment("user", "Where was I hiking?")
    lookup = Segment("assistant", '<think>Gull Point?</think><retrieve>{"keywords": "hiking"}</retrieve>')
    found = Segment("user", "You were hiking at Fern Valley.")
    right = Segment("assistant", "<think>It says so.</think><answer>At Fern Valley.</answer>")
    leak = Segment("assistant", "<think>It says so.</think><answer>At Gull Point, at 7.</answer>")
    assert list(reply_problems([question, lookup, found, right])) == []
    assert list(reply_problems([question, lookup, found, leak])) == [
        "the answer tells what was not shown: 7, gull point"
    ]
    bare = Segment("assistant", "<answer>At Fern Valley.</answer>")
    assert list(reply_problems([found, bare])) == ["a step breaks the grammar: no thought"]
    assert list(reply_problems([question, lookup])) == ["the conversation ends without an answer"]
    assert unseen("Alma is 41", "alma, 41") == []


@pytest.mark.parametrize(
    ("evidence", "problems"),
    [
        (["t1", "t2"], []),
        (["t1"], ["episodic: no topic holds turn t2"]),
        (["t1", "t2", "t9"], ["episodic: names turn t9, which was not shown"]),
    ],
)
def test_topics_must_cover_their_session(evidence: list[str], problems: list[str]) -> None:
    rows = "".join(f'{{"id": "t{number}"}}\n' for number in (1, 2))
    prompt = f'Task: episodic\n<data name="turns">\n{rows}</data>'
    answer = str({"operations": [{"evidence": evidence}]}).replace("'", '"')
    exchange = Exchange((Segment("user", prompt), Segment("assistant", answer)))
    assert list(exchange_problems(exchange)) == problems


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"turns": (5, 9)}, "must be 12 or more"),
        ({"turns": (50, 20)}, "is no range"),
        ({"turns": (20, 400)}, "allow 12 a day"),
        ({"turns": (300, 360), "image_share": 0.5}, "lower it"),
        ({"image_share": 0.1}, "greater than or equal to 0.15"),
        ({"generator": {"kind": "rules"}}, "does not match any of the expected tags"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings: dict, words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        SynthesizeConfig.model_validate({"output": "out", **settings})


@pytest.mark.skipif(find_spec("pandas") is not None, reason="the extra `train` is installed")
def test_without_the_extra_the_command_says_so(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="needs the extra `train`"):
        synthesize(config(output=tmp_path / "run"))
    assert not (tmp_path / "run").exists()
