"""The exact judge of the gym: it knows what is right and where it stands."""

from __future__ import annotations

from personavlm.jobs.gym.words import LETTERS
from personavlm.jobs.rewards.base import Episode, Verdict
from personavlm.jobs.rollouts.tasks import Question
from personavlm.platform.agent.types import Outcome


class ExactJudge:
    """Judges answers to questions of the gym."""

    async def judge(self, episode: Episode) -> Verdict:
        """How good the answer is."""
        return verdict(episode.question, episode.outcome)


def verdict(question: Question, outcome: Outcome) -> Verdict:
    """Accuracy is an exact match. Consistency: the last thought holds the answered value, and all evidence
    was found by a search (or none was needed, the prompt holding it)."""
    answer = " ".join(outcome.answer.split())
    thought = outcome.steps[-1].thinking.split()
    found = {memory for step in outcome.steps for memory in step.found}
    return Verdict(
        accuracy=float(answer == question.gold),
        consistency=float(value_of(question, answer) in thought and found.issuperset(question.evidence)),
    )


def value_of(question: Question, answer: str) -> str:
    """What an answer means: the option that its letter names; empty where it names none."""
    if not question.options:
        return answer
    letters = LETTERS[: len(question.options)]
    return question.options[letters.index(answer)] if answer in letters else ""
