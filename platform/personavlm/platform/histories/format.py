"""Our format of a recorded history: one user's turns with their images, and questions about them.

A history is one JSON file; image paths in it are relative to the file. Times are ISO-8601 with an
offset, because a history says what the user's clock showed.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator

from personavlm.platform.errors import PlatformError

USER_PATTERN = r"^[A-Za-z0-9_.@:+-]{1,128}$"
MEDIA_TYPES = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".webp": "image/webp"}


class HistoryError(PlatformError):
    """A history that cannot be read: which file, which field, what is wrong and what to do about it."""

    def __init__(self, path: Path, field: str, problem: str, remedy: str) -> None:
        super().__init__(f"{path}: {field or 'file'}: {problem}. {remedy}")
        self.path, self.field, self.problem, self.remedy = path, field, problem, remedy

    def __reduce__(self) -> tuple[object, ...]:
        """The four parts survive pickling, so that the error crosses processes whole."""
        return (HistoryError, (self.path, self.field, self.problem, self.remedy))


class Record(BaseModel):
    """Base of the records below: immutable, and a field that it does not know is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class HistoryImage(Record):
    """An image by path (absolute once loaded) or as a ``data:`` URL."""

    path: str = Field(min_length=1)
    caption: str = ""

    def data_url(self) -> str:
        """The image as a ``data:`` URL. Raises `HistoryError` for a file that cannot be read."""
        if self.path.startswith("data:"):
            return self.path
        file = Path(self.path)
        try:
            content = file.read_bytes()
        except OSError as error:
            raise HistoryError(file, "images", f"cannot be read ({error.strerror})", "Restore it.") from error
        return f"data:{MEDIA_TYPES[file.suffix.lower()]};base64,{base64.b64encode(content).decode()}"


class HistoryTurn(Record):
    """What the user said and what the assistant replied. ``id`` becomes the turn's client id."""

    id: str = Field(min_length=1)
    event_time: AwareDatetime
    user_text: str = ""
    assistant_text: str = ""
    images: tuple[HistoryImage, ...] = ()

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not (self.user_text or self.assistant_text or self.images):
            raise ValueError("a turn needs user_text, assistant_text or an image")
        return self


class HistoryQuestion(Record):
    """A question at ``event_time`` and the ids of the turns that an answer needs.

    ``choices`` maps letters ("a") to options; ``answer`` is then the letter. ``must_contain`` holds words
    that a right answer has, ``must_not_contain`` words that only a wrong one has.
    """

    id: str = Field(min_length=1)
    task: str = Field(min_length=1)
    question: str = Field(min_length=1)
    event_time: AwareDatetime
    expected_evidence: tuple[str, ...] = ()
    answer: str = ""
    images: tuple[HistoryImage, ...] = ()
    choices: dict[str, str] = {}
    must_contain: tuple[str, ...] = ()
    must_not_contain: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _answer_is_a_choice(self) -> Self:
        if self.choices and self.answer not in self.choices:
            raise ValueError(f"answer {self.answer!r} is none of the choices {sorted(self.choices)}")
        return self


class History(Record):
    """One user's recorded life with the assistant.

    ``core`` holds facts known before the first turn. ``unmapped_evidence`` lists evidence of the source
    that names no turn of it, as "question id: what stood there". Turns keep the order and the times of
    their file, even where the times run backwards.
    """

    user: str = Field(pattern=USER_PATTERN)
    description: str = ""
    core: dict[str, str] = {}
    turns: tuple[HistoryTurn, ...] = Field(min_length=1)
    questions: tuple[HistoryQuestion, ...] = ()
    unmapped_evidence: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _ids_agree(self) -> Self:
        turns = [turn.id for turn in self.turns]
        _reject_repeats("turn", turns)
        _reject_repeats("question", [question.id for question in self.questions])
        known = set(turns)
        for question in self.questions:
            if missing := [id for id in question.expected_evidence if id not in known]:
                raise ValueError(
                    f"question {question.id} expects evidence {missing}, which no turn has as id"
                )
        return self

    @property
    def runs_backwards(self) -> bool:
        """Whether some turn is older than the turn before it."""
        return any(after.event_time < before.event_time for before, after in self._neighbours())

    def sessions(self, gap: timedelta = timedelta(minutes=60)) -> tuple[tuple[HistoryTurn, ...], ...]:
        """The turns by session: a new one starts after ``gap`` without a turn, and where time runs back."""
        sessions = [[self.turns[0]]]
        for before, after in self._neighbours():
            if timedelta(0) <= after.event_time - before.event_time < gap:
                sessions[-1].append(after)
            else:
                sessions.append([after])
        return tuple(tuple(session) for session in sessions)

    def _neighbours(self) -> Iterable[tuple[HistoryTurn, HistoryTurn]]:
        return pairwise(self.turns)


def _reject_repeats(what: str, ids: list[str]) -> None:
    if repeats := sorted({id for id in ids if ids.count(id) > 1}):
        raise ValueError(f"{what} ids must be unique, these repeat: {repeats[:5]}")


def read_json(path: Path) -> object:
    """The JSON document at ``path``. Raises `HistoryError`."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise HistoryError(path, "", f"cannot be read ({error.strerror})", "Check the path.") from error
    except UnicodeDecodeError as error:
        raise HistoryError(path, "", "is not UTF-8 text", "Save it as UTF-8.") from error
    except json.JSONDecodeError as error:
        raise HistoryError(
            path, f"line {error.lineno}", f"is not JSON ({error.msg})", "Correct the file."
        ) from error


def build_history(path: Path, fields: dict[str, Any], prefix: str = "") -> History:
    """Validate the fields of a history. Raises `HistoryError` that names the first field at fault."""
    try:
        return History.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        location = ".".join(str(part) for part in (*([prefix] if prefix else []), *first["loc"]))
        raise HistoryError(path, location, first["msg"], "Correct this field and try again.") from error


def resolve_image(path: Path, field: str, image: str, folders: Iterable[Path]) -> str:
    """The absolute path of ``image`` in the first of ``folders`` that holds it; a data URL stays.

    Raises `HistoryError` for a file that is missing or of a type that the platform does not read.
    """
    if image.startswith("data:"):
        return image
    if Path(image).suffix.lower() not in MEDIA_TYPES:
        raise HistoryError(path, field, f"{image!r} is no PNG, JPEG or WebP file", "Convert the image.")
    for folder in folders:
        if (folder / image).is_file():
            return str((folder / image).resolve())
    raise HistoryError(
        path, field, f"the image {image!r} does not exist", "Put it where the file says it is."
    )
