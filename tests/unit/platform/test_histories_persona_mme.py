"""Persona-MME's users and questions, read into our form."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from personavlm.platform.histories import HistoryError, load
from personavlm.platform.histories.persona_mme import chosen_letter


def write(path: Path, document: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def persona_mme_user(root: Path, **changes: object) -> Path:
    for number in range(2):
        (root / "samples" / "50" / "7" / f"{number}.png").parent.mkdir(parents=True, exist_ok=True)
        (root / "samples" / "50" / "7" / f"{number}.png").write_bytes(b"\x89PNG" + bytes([number]))
    sessions = [
        [
            {"time": "2025-02-01 08:00", "user": "<img>\nMy canoe.", "assistant": "It looks light."},
            {"time": "2025-02-01 08:02", "user": "It leaks.", "assistant": "A patch may do."},
        ],
        [{"time": "2025-02-03 20:00", "user": "Patched: <img>", "assistant": "Neat."}],
    ]
    data = {
        "profile": {"name": "Cy", "preferences": ["rivers", "tea"]},
        "imgs": ["./samples/50/7/0.png", "./samples/50/7/1.png"],
        "sessions": sessions,
    }
    return write(root / "samples" / "50" / "7" / "user_data.json", data | changes)


def persona_mme_question(**changes: object) -> dict[str, Any]:
    return {
        "data_path": "./data/samples/50/7/user_data.json",
        "question_type": "Long-term Goal Tracking",
        "time": "2025-02-04 08:00",
        "query": "Is the canoe tight again?",
        "choices": {"(a)": "Yes.", "(b)": "No."},
        "answer": "(a)",
    } | changes


def test_persona_mme_joins_history_and_questions(tmp_path: Path) -> None:
    path = persona_mme_user(tmp_path)
    others = persona_mme_question(data_path="./data/samples/50/17/user_data.json")
    pair = persona_mme_question(alignment={"chosen": "Tight.", "rejected": "Wow, tight!!!"})
    write(tmp_path / "Persona-MME.json", [others, persona_mme_question(), pair])

    [history] = load(path, "persona-mme")

    assert history.user == "persona-mme-50-7"
    assert history.core == {"name": "Cy", "preferences": "rivers, tea"}
    assert [turn.id for turn in history.turns] == ["s1.1", "s1.2", "s2.1"]
    assert [turn.user_text for turn in history.turns] == ["My canoe.", "It leaks.", "Patched:"]
    assert [[Path(image.path).name for image in turn.images] for turn in history.turns] == [
        ["0.png"],
        [],
        ["1.png"],
    ]
    assert history.turns[2].event_time == datetime(2025, 2, 3, 20, tzinfo=UTC)
    assert [question.id for question in history.questions] == ["q1", "q2", "q2.chosen", "q2.rejected"]
    assert history.questions[0].choices == {"a": "Yes.", "b": "No."}
    assert [question.answer for question in history.questions] == ["a", "a", "a", "b"]
    assert history.questions[3].task == "Personality Alignment"
    assert "Wow, tight!!!" in history.questions[3].question


def test_persona_mme_reads_a_folder_and_a_named_question_file(tmp_path: Path) -> None:
    persona_mme_user(tmp_path / "set")
    questions = write(tmp_path / "elsewhere.json", [persona_mme_question()])
    [history] = load(tmp_path / "set", "persona-mme", questions)
    assert len(history.questions) == 1
    [without] = load(tmp_path / "set", "persona-mme")
    assert without.questions == ()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"imgs": ["./samples/50/7/0.png"]}, "sessions.1.0.user: there are more <img> marks than imgs"),
        ({"imgs": ["./samples/50/7/9.png"] * 2}, "imgs: the image './samples/50/7/9.png' does not exist"),
        ({"sessions": None}, "sessions: is missing or no list"),
        ({"sessions": ["one"]}, "sessions.0: is no list of turns"),
        ({"sessions": [[{"time": "2025-02-01 08:00", "user": "x"}]]}, "sessions.0.0.assistant: is missing"),
        (
            {"sessions": [[{"time": "noon", "user": "x", "assistant": "y"}]]},
            "sessions.0.0.time: 'noon' is no time",
        ),
        ({"profile": "Cy"}, "profile: is no map"),
    ],
)
def test_persona_mme_names_the_field_at_fault(tmp_path: Path, changes: dict[str, Any], expected: str) -> None:
    with pytest.raises(HistoryError) as raised:
        load(persona_mme_user(tmp_path, **changes), "persona-mme")
    assert expected in str(raised.value)


def test_persona_mme_question_file_must_be_a_list(tmp_path: Path) -> None:
    with pytest.raises(HistoryError, match="is not a JSON list"):
        load(persona_mme_user(tmp_path), "persona-mme", write(tmp_path / "questions.json", {}))


@pytest.mark.parametrize(
    ("answer", "letter"),
    [("(b) No.", "b"), ("B) because", "b"), ("The answer is (C).", "c"), ("b", ""), ("", ""), (")", "")],
)
def test_the_letter_stands_before_the_first_bracket(answer: str, letter: str) -> None:
    assert chosen_letter(answer) == letter
