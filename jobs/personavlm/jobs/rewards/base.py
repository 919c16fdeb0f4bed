"""What judges are given and what they say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from personavlm.jobs.rollouts.tasks import Question
from personavlm.jobs.trajectories import Trajectory
from personavlm.platform.agent.types import Outcome
from personavlm.platform.errors import PlatformError


class JudgeError(PlatformError):
    """A judge could not say: it cannot be reached, or what it wrote is no verdict. Never a score."""


@dataclass(frozen=True, slots=True)
class Episode:
    """A question, and how the policy answered it."""

    question: Question
    outcome: Outcome
    trajectory: Trajectory


@dataclass(frozen=True, slots=True)
class Verdict:
    """``accuracy``: how right the answer is. ``consistency``: how well it follows from the last thought.

    Both in [0, 1]; raises `ValueError` for others.
    """

    accuracy: float
    consistency: float

    def __post_init__(self) -> None:
        for name, value in (("accuracy", self.accuracy), ("consistency", self.consistency)):
            if not 0 <= value <= 1:
                raise ValueError(f"a verdict's {name} is between 0 and 1, not {value}")


class Judge(Protocol):
    """Judges episodes, any number at once."""

    async def judge(self, episode: Episode) -> Verdict:
        """How good the answer is. Raises `JudgeError`."""
        ...
