"""Recorded histories in our own format, and what is said about files that are not right."""

import base64
import json
import pickle
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from personavlm.platform.histories import History, HistoryError, load

PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def write(path: Path, document: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def own_history(**changes: object) -> dict[str, Any]:
    turns = [
        {"id": "t1", "event_time": "2026-01-05T09:00:00+01:00", "user_text": "I keep bees."},
        {
            "id": "t2",
            "event_time": "2026-01-05T09:03:00+01:00",
            "user_text": "Two hives.",
            "assistant_text": "I see.",
        },
        {"id": "t3", "event_time": "2026-01-05T10:03:00+01:00", "user_text": "Back again."},
    ]
    question = {
        "id": "q1",
        "task": "Semantic Information Recall",
        "question": "How many hives?",
        "event_time": "2026-01-06T09:00:00+01:00",
        "expected_evidence": ["t2"],
    }
    return {"user": "bea", "turns": turns, "questions": [question]} | changes


def test_own_format_reads_images_beside_the_file(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "hive.png").write_bytes(PIXEL)
    document = own_history()
    document["turns"][0]["images"] = [{"path": "images/hive.png", "caption": "a hive"}]
    document["questions"][0]["images"] = [{"path": "data:image/png;base64,AAAA"}]

    [history] = load(write(tmp_path / "bea.json", document), "personavlm")

    image = history.turns[0].images[0]
    assert image.caption == "a hive"
    assert base64.b64decode(image.data_url().removeprefix("data:image/png;base64,")) == PIXEL
    assert history.questions[0].images[0].data_url() == "data:image/png;base64,AAAA"
    assert history.turns[0].event_time.utcoffset() == timedelta(hours=1)


def test_own_format_takes_questions_from_another_file(tmp_path: Path) -> None:
    document = own_history()
    questions = write(tmp_path / "more.json", [document["questions"][0] | {"id": "other"}])
    [history] = load(write(tmp_path / "bea.json", document), "personavlm", questions)
    assert [question.id for question in history.questions] == ["other"]


def test_a_gap_of_an_hour_starts_a_session(tmp_path: Path) -> None:
    [history] = load(write(tmp_path / "bea.json", own_history()), "personavlm")
    assert [[turn.id for turn in session] for session in history.sessions()] == [["t1", "t2"], ["t3"]]
    assert len(history.sessions(gap=timedelta(minutes=61))) == 1
    assert len(history.sessions(gap=timedelta(minutes=3))) == 3
    assert not history.runs_backwards


@given(st.lists(st.integers(-300, 300), min_size=1, max_size=30))
def test_sessions_keep_every_turn_in_order(minutes: list[int]) -> None:
    times = [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minute) for minute in minutes]
    turns = [{"id": str(i), "event_time": time, "user_text": "x"} for i, time in enumerate(times)]
    history = History.model_validate({"user": "u", "turns": turns})
    sessions = history.sessions()
    assert tuple(turn for session in sessions for turn in session) == history.turns
    for session in sessions:
        steps = [b.event_time - a.event_time for a, b in pairwise(session)]
        assert all(timedelta(0) <= step < timedelta(minutes=60) for step in steps)
    for before, after in pairwise(sessions):
        step = after[0].event_time - before[-1].event_time
        assert step < timedelta(0) or step >= timedelta(minutes=60)
    assert history.runs_backwards == (minutes != sorted(minutes))


def with_turn(**changes: object) -> dict[str, Any]:
    document = own_history()
    document["turns"][1] |= changes
    return document


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ([], "is not a JSON object"),
        (own_history(turns=[]), "turns: Tuple should have at least 1"),
        (own_history(user="two words"), "user: String should match"),
        (own_history(mood="fine"), "mood: Extra inputs"),
        (with_turn(event_time="2026-01-05T09:03:00"), "turns.1.event_time: Input should have timezone"),
        (with_turn(user_text="", assistant_text=""), "turns.1: Value error, a turn needs user_text"),
        (with_turn(id="t1"), "turn ids must be unique, these repeat: ['t1']"),
        (with_turn(id="t9"), "question q1 expects evidence ['t2']"),
        (
            with_turn(images=[{"path": "nowhere.png"}]),
            "turns.1.images.0.path: the image 'nowhere.png' does not",
        ),
        (with_turn(images=[{"path": "scan.tiff"}]), "turns.1.images.0.path: 'scan.tiff' is no PNG"),
        (with_turn(images="scan.png"), "turns.1.images: Input should be"),
    ],
)
def test_a_wrong_field_is_named(tmp_path: Path, document: object, expected: str) -> None:
    path = write(tmp_path / "bea.json", document)
    with pytest.raises(HistoryError) as raised:
        load(path, "personavlm")
    assert str(path) in str(raised.value)
    assert expected in str(raised.value)
    assert str(pickle.loads(pickle.dumps(raised.value))) == str(raised.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(HistoryError, match=r"gone\.json: file: cannot be read \(No such file"):
        load(tmp_path / "gone.json", "personavlm")
    (tmp_path / "torn.json").write_text('{"user":\n "bea"')
    with pytest.raises(HistoryError, match=r"torn\.json: line 2: is not JSON"):
        load(tmp_path / "torn.json", "locomo")
    (tmp_path / "latin.json").write_bytes(b'{"user": "\xe9"}')
    with pytest.raises(HistoryError, match="is not UTF-8"):
        load(tmp_path / "latin.json", "persona-mme")
    with pytest.raises(HistoryError, match="Use one of personavlm, persona-mme, locomo"):
        load(tmp_path / "latin.json", "diary")


def test_an_answer_must_be_a_choice(tmp_path: Path) -> None:
    document = own_history()
    document["questions"][0] |= {"choices": {"a": "one", "b": "two"}, "answer": "c"}
    with pytest.raises(HistoryError, match=r"questions\.0: .*'c' is none of the choices \['a', 'b'\]"):
        load(write(tmp_path / "bea.json", document), "personavlm")
