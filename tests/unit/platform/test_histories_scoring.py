"""Scores of answers that need no judge."""

import pytest

from personavlm.platform.histories import HistoryQuestion, evidence_recall, full_text, is_right


def question(**fields: object) -> HistoryQuestion:
    basis = {"id": "q", "task": "x", "question": "Where is it?", "event_time": "2026-01-01T00:00:00Z"}
    return HistoryQuestion.model_validate(basis | fields)


def test_recall_is_the_share_of_the_evidence() -> None:
    asked = question(expected_evidence=["t1", "t2"])
    assert evidence_recall(asked, {"t2", "t9"}) == 0.5
    assert evidence_recall(asked, ["t2", "t1"]) == 1.0
    assert evidence_recall(asked, ()) == 0.0
    assert evidence_recall(question(), ["t1"]) is None


@pytest.mark.parametrize(
    ("fields", "answer", "right"),
    [
        ({"must_contain": ["Delft", "market"]}, "At the MARKET in delft.", True),
        ({"must_contain": ["Delft", "market"]}, "In Delft.", False),
        ({"must_contain": ["tea"], "must_not_contain": ["coffee"]}, "Tea, no longer Coffee.", False),
        ({"choices": {"a": "tea", "b": "milk"}, "answer": "b"}, "(b) milk", True),
        ({"choices": {"a": "tea", "b": "milk"}, "answer": "b"}, "It is (a) tea, not (b).", False),
        ({}, "whatever", None),
    ],
)
def test_an_exact_answer_is_checked(fields: dict[str, object], answer: str, right: bool | None) -> None:
    assert is_right(question(**fields), answer) is right


def test_options_follow_the_question() -> None:
    text = full_text(question(choices={"a": "here", "b": "there"}, answer="a"))
    assert text.startswith("Where is it?\n\n(a) here\n(b) there\n\n")
    assert full_text(question()) == "Where is it?"
