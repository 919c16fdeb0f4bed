"""What is wrong with training data, said so that somebody can mend it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import PydanticCustomError

from personavlm.platform.errors import CommandError

REMEDIES = {
    "missing": "Add it.",
    "extra_forbidden": "Remove it: this format has no such field.",
    "string_type": "Write a text.",
    "bytes_type": "Write the image's bytes.",
    "tuple_type": "Write a list, an empty one where there is nothing.",
    "list_type": "Write a list, an empty one where there is nothing.",
    "bool_type": "Write true or false.",
    "int_type": "Write a whole number.",
    "string_too_short": "Write at least one character.",
    "timezone_aware": "Write a time with its offset, as in 2026-05-17T14:05:00+00:00.",
    "model_type": "Write an object with the fields of the format.",
    "model_attributes_type": "Write an object with the fields of the format.",
    "dict_type": "Write an object with the fields of the format.",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong in ``file``. ``row`` counts from 1 (in JSON Lines it is the line); 0 means the
    file as a whole. ``field`` is a path such as ``turns[2].images[0].path``."""

    file: Path
    row: int
    field: str
    problem: str
    remedy: str

    def __str__(self) -> str:
        row = f"row {self.row}: " if self.row else ""
        field = f"{self.field}: " if self.field else ""
        return f"{self.file}: {row}{field}{self.problem.rstrip('.')}. {self.remedy}"


class DataError(CommandError):
    """Training data that cannot be used; ``problem`` is the first that was found."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem

    def __reduce__(self) -> tuple[object, ...]:
        """The problem survives pickling, so that the error crosses processes whole."""
        return (DataError, (self.problem,))


def wrong(field: str, problem: str, remedy: str) -> PydanticCustomError:
    """An error for a validator to raise. ``field`` is relative to the record that is validated."""
    return PydanticCustomError(
        "personavlm", "{problem}", {"field": field, "problem": problem, "remedy": remedy}
    )


def problems_of(error: ValidationError, file: Path, row: int) -> list[Problem]:
    """All that a validation found, one problem for each field."""
    return [_problem(found, file, row) for found in error.errors(include_url=False, include_input=False)]


def _problem(found: Any, file: Path, row: int) -> Problem:  # noqa: ANN401 - pydantic's own dictionary
    context = found.get("ctx", {})
    field = ".".join(filter(None, (path_of(found["loc"]), context.get("field", ""))))
    remedy = context.get("remedy") or REMEDIES.get(found["type"], "Correct this field.")
    return Problem(file, row, field, found["msg"], remedy)


def path_of(parts: Sequence[str | int]) -> str:
    """``("turns", 2, "text")`` as ``turns[2].text``."""
    text = ""
    for part in parts:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text
