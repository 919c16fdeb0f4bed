"""The gym as a task of rollouts: questions from a file, each user's memories in the store beside it."""

from __future__ import annotations

from pathlib import Path

from personavlm.jobs.gym.judge import ExactJudge
from personavlm.jobs.gym.worlds import read_questions
from personavlm.jobs.rollouts.tasks import Question


class GymTask:
    """The questions of one world, over and over. Raises `CommandError` for a file that holds none."""

    def __init__(self, questions: Path) -> None:
        self._questions = [asked.public for asked in read_questions(questions)]

    def __len__(self) -> int:
        """How many questions there are before they come again."""
        return len(self._questions)

    def question(self, number: int) -> Question:
        """Question ``number`` of the stream, from 0."""
        return self._questions[number % len(self._questions)]

    def judge(self) -> ExactJudge:
        """Knows the answers."""
        return ExactJudge()
