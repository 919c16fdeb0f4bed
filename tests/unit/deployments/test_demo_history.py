"""The demo's history: what it promises to hold, and that its drawings can be drawn again."""

import re
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageChops

from personavlm.deployments.demo import draw_images
from personavlm.platform.histories import History, load

FILE = Path(draw_images.__file__).parent / "history" / "history.json"
TASKS = {
    "Visual Detail Recall",
    "Semantic Information Recall",
    "Explicit Intent Inference",
    "Implicit Intent Recognition",
    "Latest Preference Recognition",
    "Interest Evolution Analysis",
    "Implicit Preference Recommendation",
    "Behavioral Pattern Recognition",
    "Long-term Goal Tracking",
    "Relationship Recognition",
    "Relationship Dynamics Comprehension",
    "Tiered Explanation Delivery",
    "Generalizing to New Scenarios",
    "Personality Alignment",
}


@pytest.fixture(scope="module")
def history() -> History:
    [history] = load(FILE, "personavlm")
    return history


def test_it_says_that_the_person_is_invented(history: History) -> None:
    assert "invented person" in history.description


def test_it_is_long_enough(history: History) -> None:
    times = [turn.event_time for turn in history.turns]
    assert len(times) >= 80
    assert times[-1] - times[0] >= timedelta(days=60)
    assert all(before < after for before, after in pairwise(times))
    assert len(history.sessions()) >= 30
    assert sum(bool(turn.images) for turn in history.turns) >= 12
    assert all(turn.user_text and turn.assistant_text for turn in history.turns)


def test_offsets_follow_the_clock_change(history: History) -> None:
    for turn in history.turns:
        summer = turn.event_time.date().isoformat() >= "2026-03-29"
        assert turn.event_time.utcoffset() == timedelta(hours=2 if summer else 1)


def test_every_image_is_small_and_decodes(history: History) -> None:
    turns = [image.path for turn in history.turns for image in turn.images]
    questions = [image.path for question in history.questions for image in question.images]
    paths = turns + questions
    assert len(set(paths)) == len(paths) >= 14
    for path in paths:
        assert Path(path).stat().st_size < 10_000
        with Image.open(path) as image:
            assert (image.format, image.size) == ("PNG", (192, 192))
            image.load()


@pytest.mark.parametrize("drawing", draw_images.DRAWINGS, ids=lambda drawing: drawing.__name__)
def test_drawing_again_gives_the_same_picture(drawing: draw_images.Drawing) -> None:
    """Up to a shade: another version of Pillow may smooth edges and choose the palette differently."""
    with Image.open(draw_images.IMAGES / f"{drawing.__name__}.png") as committed:
        difference = ImageChops.difference(committed.convert("RGB"), drawing())
    assert np.asarray(difference).mean() < 1.5


def test_questions_cover_every_task(history: History) -> None:
    assert {question.task for question in history.questions} >= TASKS
    assert len(history.questions) >= 16


def test_questions_come_after_the_last_session(history: History) -> None:
    [asked_at] = {question.event_time for question in history.questions}
    assert asked_at - history.turns[-1].event_time >= timedelta(hours=1)


def test_evidence_is_small_and_holds_the_answer(history: History) -> None:
    """An exact answer stands in the evidence; a question without evidence needs no memory."""
    text_of = {turn.id: turn.user_text.lower() for turn in history.turns}
    for question in history.questions:
        assert len(question.expected_evidence) <= 2
        evidence = " ".join(text_of[id] for id in question.expected_evidence)
        for word in question.must_contain:
            assert word.lower() in evidence, (
                f"{question.id} asks for {word!r}, which its evidence does not say"
            )
    assert any(not question.expected_evidence for question in history.questions)


def test_the_favourite_drink_changes_in_a_turn_with_an_image(history: History) -> None:
    stated = re.compile(r"favourite drink", re.IGNORECASE)
    old, new = (turn for turn in history.turns if stated.search(turn.user_text))
    assert "cappuccino" in old.user_text and "Matcha" in new.user_text
    assert new.images and new.event_time - old.event_time > timedelta(days=30)
    expected = {question.expected_evidence for question in history.questions}
    assert {(old.id,), (new.id,)} <= expected
