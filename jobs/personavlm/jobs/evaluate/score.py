"""What one answer is worth in an evaluation: the parts of the reward that training optimises."""

from __future__ import annotations

import re
from dataclasses import dataclass

from personavlm.jobs.rewards.base import Verdict
from personavlm.platform.agent.loop import NO_ANSWER
from personavlm.platform.agent.types import Outcome

_THINK = r"\s*<think>[^<]*</think>\s*"
_RETRIEVE = re.compile(rf"{_THINK}<retrieve>[^<]*</retrieve>\s*")
_ANSWER = re.compile(rf"{_THINK}<answer>[^<]*</answer>\s*")


@dataclass(frozen=True, slots=True)
class Score:
    """Each part in [0, 1]; ``retrievals`` counts searches."""

    accuracy: float
    consistency: float
    form: float
    retrievals: int

    @classmethod
    def of(cls, verdict: Verdict, outcome: Outcome) -> Score:
        """A judge's verdict with what can be seen without one."""
        return cls(
            verdict.accuracy,
            verdict.consistency,
            float(well_formed(outcome)),
            sum(step.action == "retrieve" for step in outcome.steps),
        )

    @property
    def reward(self) -> float:
        """The method's: right for the right reason, and half a point for keeping to the grammar."""
        return self.accuracy * self.consistency + 0.5 * self.form


def well_formed(outcome: Outcome) -> bool:
    """Whether every step was a thought and one action, with nothing beside them, and the last an answer."""
    written = [one.text for one in outcome.conversation.segments if one.role == "assistant"]
    if outcome.answer == NO_ANSWER or any(step.repaired for step in outcome.steps):
        return False
    return all(_RETRIEVE.fullmatch(text) for text in written[:-1]) and bool(_ANSWER.fullmatch(written[-1]))
