"""What one answer is worth in an evaluation: the parts of the reward that training optimises."""

from __future__ import annotations

from dataclasses import dataclass

from personavlm.jobs.rewards.base import Verdict
from personavlm.jobs.rewards.reward import well_formed
from personavlm.platform.agent.types import Outcome


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
