"""How well a question of a history was answered, without a judge: evidence found, and exact answers."""

from __future__ import annotations

from collections.abc import Collection

from personavlm.platform.histories.format import HistoryQuestion
from personavlm.platform.histories.persona_mme import chosen_letter


def evidence_recall(question: HistoryQuestion, retrieved: Collection[str]) -> float | None:
    """Share of the expected evidence among the ``retrieved`` turn ids; ``None`` where none is needed."""
    expected = question.expected_evidence
    return sum(id in retrieved for id in expected) / len(expected) if expected else None


def is_right(question: HistoryQuestion, answer: str) -> bool | None:
    """Whether the letter, or else the words of the answer, are right; ``None`` where neither is given."""
    if question.choices:
        return chosen_letter(answer) == question.answer
    if not (question.must_contain or question.must_not_contain):
        return None
    said = answer.casefold()
    wanted = all(word.casefold() in said for word in question.must_contain)
    return wanted and not any(word.casefold() in said for word in question.must_not_contain)


def full_text(question: HistoryQuestion) -> str:
    """What is sent to the assistant: the question, and its options where it has some."""
    if not question.choices:
        return question.question
    options = "\n".join(f"({letter}) {text}" for letter, text in question.choices.items())
    return f"{question.question}\n\n{options}\n\nAnswer with the letter of one option, as in (a)."
