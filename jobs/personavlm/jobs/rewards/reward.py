"""From a verdict and what can be seen without a judge to one number."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass

from personavlm.jobs.rewards.base import Verdict
from personavlm.jobs.rewards.config import RewardConfig
from personavlm.jobs.rollouts.tasks import Question
from personavlm.platform.agent.loop import NO_ANSWER
from personavlm.platform.agent.types import Outcome

METHOD = RewardConfig()
_THINK = r"\s*<think>[^<]*</think>\s*"
_RETRIEVE = re.compile(rf"{_THINK}<retrieve>[^<]*</retrieve>\s*")
_ANSWER = re.compile(rf"{_THINK}<answer>[^<]*</answer>\s*")


@dataclass(frozen=True, slots=True)
class Parts:
    """What a reward consists of, each in [0, 1]; ``retrievals`` counts searches.

    ``evidence`` is the share of the question's evidence that was found, 1 where it has none.
    """

    accuracy: float
    consistency: float
    form: float
    evidence: float
    retrievals: int
    answered: bool

    @classmethod
    def of(cls, question: Question, outcome: Outcome, verdict: Verdict) -> Parts:
        """The parts of one answer: a judge's verdict, and what can be seen without one."""
        found = {memory for step in outcome.steps for memory in step.found}
        needed = set(question.evidence)
        return cls(
            verdict.accuracy,
            verdict.consistency,
            float(well_formed(outcome)),
            len(needed & found) / len(needed) if needed else 1.0,
            sum(step.action == "retrieve" for step in outcome.steps),
            answered(outcome),
        )

    def reward(self, config: RewardConfig = METHOD) -> float:
        """0 where nothing was answered; otherwise the weighted sum (`RewardConfig`)."""
        if not self.answered:
            return 0.0
        return (
            self.accuracy * self.consistency
            + config.format * self.form
            + config.evidence * self.evidence
            - config.retrieval_cost * self.retrievals
        )

    def figures(self) -> dict[str, float]:
        """By name."""
        return {name: float(value) for name, value in asdict(self).items()}


def answered(outcome: Outcome) -> bool:
    """Whether the policy wrote an answer, in an answer's block that was closed."""
    last = [one.text for one in outcome.conversation.segments if one.role == "assistant"][-1]
    return outcome.answer != NO_ANSWER and "</answer>" in last


def well_formed(outcome: Outcome) -> bool:
    """Whether every step was a thought and one action, with nothing beside them, and the last an answer."""
    written = [one.text for one in outcome.conversation.segments if one.role == "assistant"]
    if outcome.answer == NO_ANSWER or any(step.repaired for step in outcome.steps):
        return False
    return all(_RETRIEVE.fullmatch(text) for text in written[:-1]) and bool(_ANSWER.fullmatch(written[-1]))
