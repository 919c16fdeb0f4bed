"""The exact judge of the gym: it knows what is right and where it stands."""

from __future__ import annotations

import re
from dataclasses import dataclass

from personavlm.jobs.gym.worlds import Asked
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

    @property
    def reward(self) -> float:
        """The method's: right for the right reason, and half a point for keeping to the grammar."""
        return self.accuracy * self.consistency + 0.5 * self.form


def judged(asked: Asked, outcome: Outcome) -> Score:
    """Accuracy is an exact match. Consistency: the last thought holds the answered value, and all evidence
    was found by a search (or none was needed, the prompt holding it). Form: every step as it should be."""
    question = asked.question
    answer = " ".join(outcome.answer.split())
    value = question.value_of(answer)
    thought = outcome.steps[-1].thinking.split()
    found = {memory for step in outcome.steps for memory in step.found}
    return Score(
        accuracy=float(answer == question.answer),
        consistency=float(value in thought and found.issuperset(asked.evidence)),
        form=float(well_formed(outcome)),
        retrievals=sum(step.action == "retrieve" for step in outcome.steps),
    )


def well_formed(outcome: Outcome) -> bool:
    """Whether every step was a thought and one action, with nothing beside them, and the last an answer."""
    written = [one.text for one in outcome.conversation.segments if one.role == "assistant"]
    if outcome.answer == NO_ANSWER or any(step.repaired for step in outcome.steps):
        return False
    return all(_RETRIEVE.fullmatch(text) for text in written[:-1]) and bool(_ANSWER.fullmatch(written[-1]))
