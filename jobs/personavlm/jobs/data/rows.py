"""The two kinds of training data: conversations to imitate (SFT) and questions to practise on (GRPO)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from personavlm.jobs.data.problems import wrong

LETTERS = "abcdefgh"


class Record(BaseModel):
    """Base of what stands in a row: immutable, and a field that it does not know is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class RowImage(Record):
    """An image as the path of a file (absolute once read) or as the file's bytes: PNG, JPEG or WebP.

    ``at`` is the character of the text before which it stands. Serving shows images before the text: 0.
    """

    path: str | None = None
    data: bytes | None = None
    at: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _is_there(self) -> Self:
        if bool(self.path) == bool(self.data):
            raise wrong("path", "an image needs a path or its bytes, and not both", "Give one of the two.")
        return self


Images = tuple[RowImage, ...]


class RowTurn(Record):
    """One message. ``train`` marks an assistant's message that is learned from."""

    role: Literal["system", "user", "assistant"]
    text: str
    images: Images = ()
    train: bool = False

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if self.train and self.role != "assistant":
            raise wrong("train", f"a {self.role} message cannot be trained on", "Set it to false.")
        if self.images and self.role != "user":
            raise wrong("images", f"a {self.role} message holds images", "Move them to a user message.")
        if not self.text and not self.images:
            raise wrong("text", "the message is empty", "Write its text, or remove the row.")
        _check_places(self.text, self.images)
        return self


class ConversationRow(Record):
    """A conversation to imitate: an optional system message, then user and assistant in turn.

    ``source`` says where it comes from, ``kind`` what it teaches ("reasoning", "semantic", …).
    """

    id: str = Field(min_length=1)
    source: str = ""
    kind: str = Field(min_length=1)
    turns: tuple[RowTurn, ...]

    @model_validator(mode="after")
    def _is_a_conversation(self) -> Self:
        check_order([turn.role for turn in self.turns], "turns", "role")
        if not any(turn.train for turn in self.turns):
            remedy = "Set `train` of the assistant messages to learn from."
            raise wrong("turns", "no message is trained on", remedy)
        return self


class QuestionRow(Record):
    """A question with its right answer, for reinforcement learning.

    With ``user``, ``prompt`` is that user's message, asked at ``asked_at`` of a memory that holds the user's
    history (``utc_offset_minutes`` is what the user's clock showed beside UTC); without, it is a complete
    first prompt. ``gold`` is a text, or "(b)" for the second of ``options``, which follow the prompt as lines
    "(a) …" (`full_prompt`). ``evidence`` are ids of turns of the history.
    """

    id: str = Field(min_length=1)
    source: str = ""
    kind: str = Field(min_length=1)
    prompt: str = Field(min_length=1)
    gold: str = Field(min_length=1)
    options: tuple[str, ...] = ()
    evidence: tuple[str, ...] = ()
    images: Images = ()
    user: str | None = None
    asked_at: AwareDatetime | None = None
    utc_offset_minutes: int = Field(0, ge=-24 * 60, le=24 * 60)

    @model_validator(mode="after")
    def _is_answerable(self) -> Self:
        _check_places(self.prompt, self.images)
        if self.options:
            self._check_options()
        if self.user is not None and self.asked_at is None:
            raise wrong("asked_at", "a question to a user's memory needs a time", "Say when it is asked.")
        if self.evidence and self.user is None:
            raise wrong("user", "evidence is named, but not whose", "Name the user, or leave out `evidence`.")
        return self

    def _check_options(self) -> None:
        letters = LETTERS[: len(self.options)]
        if not 2 <= len(self.options) <= len(LETTERS) or len(set(self.options)) < len(self.options):
            remedy = f"Give 2 to {len(LETTERS)} options that differ, or none."
            raise wrong("options", f"{len(self.options)} options, or some twice", remedy)
        if self.gold not in [f"({letter})" for letter in letters]:
            remedy = f"Write the letter of the right option, (a) to ({letters[-1]})."
            raise wrong("gold", f"{self.gold!r} is none of the options", remedy)

    @property
    def full_prompt(self) -> str:
        """The prompt with its options, if any, as a user would send them."""
        return with_options(self.prompt, self.options)


Row = ConversationRow | QuestionRow


def with_options(prompt: str, options: Sequence[str]) -> str:
    """A question with its options, if any, as a user would send them."""
    if not options:
        return prompt
    lines = [f"({letter}) {text}" for letter, text in zip(LETTERS, options, strict=False)]
    return "\n".join((prompt, "", *lines, "", "Answer with the letter of one option, as in (a)."))


def check_order(roles: Sequence[str], field: str, name: str) -> None:
    """Raise unless roles are an optional system message, then user and assistant in turn, the latter last."""
    talk = roles[1:] if roles[:1] == ["system"] else roles
    for place, role in enumerate(talk):
        expected = "assistant" if place % 2 else "user"
        if role != expected:
            at = place + len(roles) - len(talk)
            problem = f"a {role} message stands where one of the {expected} belongs"
            raise wrong(f"{field}[{at}].{name}", problem, "Let user and assistant take turns.")
    if not talk or talk[-1] != "assistant":
        raise wrong(field, "the conversation does not end with the assistant", "Add its message.")


def _check_places(text: str, images: Images) -> None:
    places = [image.at for image in images]
    if places != sorted(places) or (places and places[-1] > len(text)):
        remedy = f"`at` must not decrease, and not exceed the {len(text)} characters of the text."
        raise wrong("images", f"the places {places} are no order of images within the text", remedy)
