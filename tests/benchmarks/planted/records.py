"""What a planted conversation consists of: dated messages, and questions whose evidence is known."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

Category = Literal["multi-hop", "temporal", "open-domain", "single-hop", "adversarial"]
CATEGORIES: tuple[Category, ...] = ("multi-hop", "temporal", "open-domain", "single-hop", "adversarial")

ASSISTANT = "assistant"
USER = "user"


@dataclass(frozen=True, slots=True)
class Message:
    """One message. ``caption`` says in words what its picture shows; empty without one."""

    id: str
    session: int
    speaker: str
    time: datetime
    text: str
    caption: str = ""


@dataclass(frozen=True, slots=True)
class Question:
    """A question with the ids of the messages that answer it, in order of time."""

    text: str
    category: Category
    evidence: tuple[str, ...]
    asked_at: datetime


@dataclass(frozen=True, slots=True)
class Conversation:
    """Two speakers (``user`` and ``assistant``, or two friends by name), their messages and questions."""

    id: str
    speakers: tuple[str, str]
    messages: tuple[Message, ...]
    questions: tuple[Question, ...]

    def sessions(self) -> Iterator[tuple[Message, ...]]:
        """The messages session by session."""
        numbers = sorted({message.session for message in self.messages})
        for number in numbers:
            yield tuple(message for message in self.messages if message.session == number)
