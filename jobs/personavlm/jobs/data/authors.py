"""The formats of PersonaVLM's authors, read as they are.

SFT: ``{"conversations": [{"from": "human" | "gpt" | "system", "value": …}, …], "image": [paths]}``, with one
``<image>`` for each path in what the human says. RL: ``{"messages": [{"role": "user", …}, {"role":
"assistant", "content": gold}], "images": [paths]}``. Other keys of a row are not read.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from personavlm.jobs.data.problems import wrong
from personavlm.jobs.data.rows import ConversationRow, Images, QuestionRow, RowImage, RowTurn, check_order

PLACEHOLDER = "<image>"
_ROLES: dict[str, Literal["system", "user", "assistant"]] = {
    "human": "user",
    "gpt": "assistant",
    "system": "system",
}
_LETTER = re.compile(r"\([a-h]\)")
_TARGETS = (  # the first pattern that a target matches says what it teaches
    ("reasoning", re.compile(r"<(?:answer|retrieve)>")),
    ("personality", re.compile(r'"openness"\s*:')),
    ("episodic", re.compile(r'"topic_summary"\s*:')),
    ("semantic", re.compile(r'"decision"\s*:')),
    ("core", re.compile(r'"name"\s*:')),
    ("procedural", re.compile(r'^\s*"[^"\n]+"\s*:', re.MULTILINE)),
)


def _as_list(value: object) -> object:
    """One path may stand without its list, and no image may be null."""
    return [] if value is None else [value] if isinstance(value, str) else value


Paths = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], BeforeValidator(_as_list)]


class _Loose(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)


class _Said(_Loose):
    speaker: Literal["human", "gpt", "system"] = Field(alias="from")
    value: str = Field(min_length=1)


class AuthorsConversation(_Loose):
    """One row of an SFT file."""

    conversations: tuple[_Said, ...]
    image: Paths = ()

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        check_order([_ROLES[said.speaker] for said in self.conversations], "conversations", "from")
        _check_images(_prompts(self), self.image, "image")
        return self

    def row(self, id: str, source: str, folder: Path) -> ConversationRow:
        """As our row. Every assistant message is trained on, the last one too; the released code masks it."""
        paths = iter(self.image)
        turns = tuple(_turn(said, paths, folder) for said in self.conversations)
        return ConversationRow(id=id, source=source, kind=kind_of(turns[-1].text), turns=turns)


class _Message(_Loose):
    role: Literal["user", "assistant"]
    content: str = Field(min_length=1)


class AuthorsQuestion(_Loose):
    """One row of an RL file."""

    messages: tuple[_Message, ...]
    images: Paths = ()

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if [message.role for message in self.messages] != ["user", "assistant"]:
            remedy = "Give the prompt as the user's message, then the right answer as the assistant's."
            raise wrong("messages", "are not one of the user and one of the assistant", remedy)
        _check_images([self.messages[0].content], self.images, "images", optional=True)
        return self

    def row(self, id: str, source: str, folder: Path) -> QuestionRow:
        """As our row. Options stand within the prompt. Images without placeholders go before the text."""
        prompt, gold = (message.content for message in self.messages)
        text, images = _placed(prompt, iter(self.images), folder)
        if not images:
            images = tuple(RowImage(path=_absolute(path, folder)) for path in self.images)
        kind = "choice" if _LETTER.fullmatch(gold.strip()) else "open"
        return QuestionRow(id=id, source=source, kind=kind, prompt=text, gold=gold.strip(), images=images)


AuthorsRow = AuthorsConversation | AuthorsQuestion


def authors_type(keys: Sequence[str]) -> type[AuthorsRow] | None:
    """What a file whose rows have these keys holds; ``None`` where it is neither."""
    return AuthorsConversation if "conversations" in keys else AuthorsQuestion if "messages" in keys else None


def kind_of(target: str) -> str:
    """What an assistant's message in the authors' grammar teaches."""
    return next((kind for kind, pattern in _TARGETS if pattern.search(target)), "other")


def _turn(said: _Said, paths: Iterator[str], folder: Path) -> RowTurn:
    role = _ROLES[said.speaker]
    if role != "user":
        return RowTurn(role=role, text=said.value, train=role == "assistant")
    text, images = _placed(said.value, paths, folder)
    return RowTurn(role=role, text=text, images=images)


def _placed(text: str, paths: Iterator[str], folder: Path) -> tuple[str, Images]:
    """The text without placeholders, and the images where these stood."""
    pieces = text.split(PLACEHOLDER)
    images, length = [], 0
    for piece in pieces[:-1]:
        length += len(piece)
        images.append(RowImage(path=_absolute(next(paths), folder), at=length))
    return "".join(pieces), tuple(images)


def _absolute(path: str, folder: Path) -> str:
    return os.path.abspath(folder / path)


def _prompts(row: AuthorsConversation) -> list[str]:
    return [said.value for said in row.conversations if said.speaker == "human"]


def _check_images(texts: Sequence[str], paths: Sequence[str], field: str, optional: bool = False) -> None:
    count = sum(text.count(PLACEHOLDER) for text in texts)
    if count != len(paths) and not (optional and count == 0):
        problem = f"{len(paths)} images are listed for {count} placeholders {PLACEHOLDER}"
        raise wrong(field, problem, "Give one path for each placeholder, in order.")
