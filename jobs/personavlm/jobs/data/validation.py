"""Whether training data can be used: every row and every image, before any work starts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from personavlm.jobs.data.image_files import ImageCheck, images_of
from personavlm.jobs.data.problems import DataError, Problem
from personavlm.jobs.data.reading import DataFile, data_files
from personavlm.jobs.data.rows import ConversationRow, Row

Progress = Callable[[int], None]
KEPT = 1000


@dataclass(slots=True)
class Tally:
    """Of rows of one type and kind: how many, their images, messages, and those that are trained on."""

    rows: int = 0
    images: int = 0
    messages: int = 0
    trained: int = 0


@dataclass(slots=True)
class Findings:
    """What a validation saw. ``problems`` holds the first of ``problem_count``; ``wrong_rows`` have any."""

    tallies: dict[tuple[str, str], Tally] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    problem_count: int = 0
    wrong_rows: int = 0

    def add(self, found: list[Problem], keep: int = KEPT) -> None:
        """Count problems of one row and keep the first."""
        self.problem_count += len(found)
        self.wrong_rows += bool(found)
        self.problems += found[: max(0, keep - len(self.problems))]

    def count(self, row: Row) -> None:
        """Count a row that is right in itself."""
        tally = self.tallies.setdefault((_type(row), row.kind), Tally())
        tally.rows += 1
        tally.images += sum(len(images) for _, images in images_of(row))
        if isinstance(row, ConversationRow):
            tally.messages += len(row.turns)
            tally.trained += sum(turn.train for turn in row.turns)


def validate(path: Path, seen: Progress = lambda rows: None, *, keep: int = KEPT) -> Findings:
    """Check a file, or all of a folder. ``seen`` is told how many rows were looked at so far.

    ``keep`` is how many problems are kept; all are counted. Raises `DataError` for a path that holds no data.
    """
    return Validation(keep, seen).of(data_files(path))


@dataclass(slots=True)
class Validation:
    """One pass over files of one data set: ids must be unique over all of them."""

    keep: int
    seen: Progress
    findings: Findings = field(default_factory=Findings)
    _rows: int = 0
    _images: ImageCheck = field(default_factory=ImageCheck)
    _ids: dict[tuple[str, str], tuple[Path, int]] = field(default_factory=dict)

    def of(self, files: list[Path]) -> Findings:
        """The findings in all of the files."""
        for file in files:
            try:
                self._check(DataFile.open(file))
            except DataError as error:  # the rest of this file cannot be read
                self.findings.add([error.problem], self.keep)
        return self.findings

    def _check(self, file: DataFile) -> None:
        count = 0
        for number, row in file.checked():
            self.findings.add(
                row if isinstance(row, list) else self._right(row, file.path, number), self.keep
            )
            self._rows, count = self._rows + 1, count + 1
            self.seen(self._rows)
        if not count:
            raise DataError(Problem(file.path, 0, "", "holds no row", "Add rows, or remove the file."))

    def _right(self, row: Row, file: Path, number: int) -> list[Problem]:
        self.findings.count(row)
        found = self._images.problems(row, file, number)
        first = self._ids.setdefault((_type(row), row.id), (file, number))
        if first != (file, number):
            problem = f"{row.id!r} is the id of row {first[1]} of {first[0].name} as well"
            found.append(Problem(file, number, "id", problem, "Give each row an id of its own."))
        return found


def _type(row: Row) -> str:
    return "conversation" if isinstance(row, ConversationRow) else "question"
