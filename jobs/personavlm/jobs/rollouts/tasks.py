"""Where questions come from: a task is questions, and where it can be exact a judge of answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from personavlm.platform.agent.types import Message

if TYPE_CHECKING:
    from personavlm.jobs.rewards.base import Judge


@dataclass(frozen=True, slots=True)
class Question:
    """One question to the agent, and what is known of its answer.

    ``message`` names the user whose memory is read, as of ``message.now``. ``gold`` is the right answer; of
    a question with ``options`` the letter. ``evidence`` are ids of the memories that prove it, where known.
    """

    id: str
    message: Message
    gold: str
    options: tuple[str, ...] = ()
    evidence: tuple[str, ...] = ()
    kind: str = ""


class Task(Protocol):
    """Questions without end, the same in every process that builds the task from the same configuration."""

    def question(self, number: int) -> Question:
        """Question ``number`` of the stream, from 0. A stream resumes at the number that it had come to."""
        ...

    def judge(self) -> Judge | None:
        """The judge that knows this task's answers exactly; ``None`` where a model has to judge."""
        ...
