"""Training data as streams of checked rows, whichever format the file has."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from personavlm.jobs.data.authors import AuthorsRow, authors_type
from personavlm.jobs.data.json_items import json_items
from personavlm.jobs.data.problems import DataError, Problem, problems_of
from personavlm.jobs.data.rows import ConversationRow, QuestionRow, Row
from personavlm.jobs.data.schema import SCHEMAS, from_arrow, row_type

BATCH_ROWS = 512
SUFFIXES = (".parquet", ".json", ".jsonl")
_NO_KIND = "is neither conversations nor questions"
_OURS = "Ours have `turns` or `prompt`; `personavlm data convert` makes such a file."
_THEIRS = "Each row needs `conversations` (SFT) or `messages` (RL)."

Checked = tuple[int, Row | list[Problem]]
"""A row by its number, or all that is wrong with it."""


@dataclass(frozen=True, slots=True)
class DataFile:
    """One file of training data. ``rows`` is how many it holds, where that is known without reading it."""

    path: Path
    rows: int | None

    @classmethod
    def open(cls, path: Path) -> DataFile:
        """Look at a file's beginning. Raises `DataError` where it is none of the formats."""
        if not path.is_file():
            raise _file_problem(path, "there is no such file", "Check the path.")
        if path.suffix not in SUFFIXES:
            raise _file_problem(path, f"ends in {path.suffix or 'nothing'}", f"Use {', '.join(SUFFIXES)}.")
        return cls(path, _parquet(path).metadata.num_rows if path.suffix == ".parquet" else None)

    def checked(self) -> Iterator[Checked]:
        """Every row, or its problems. Raises `DataError` where the rest of the file cannot be read."""
        return _from_parquet(self.path) if self.path.suffix == ".parquet" else _from_json(self.path)


def data_files(path: Path) -> list[Path]:
    """``path`` itself, or what a folder holds: its Parquet files, else its JSON files, however deep.

    Raises `DataError` where it holds none.
    """
    if not path.is_dir():
        return [path]
    for suffixes in ((".parquet",), (".json", ".jsonl")):
        if found := sorted(one for one in path.rglob("*") if one.suffix in suffixes and one.is_file()):
            return found
    raise _file_problem(path, "the folder holds no Parquet and no JSON file", "Check the path.")


def read_rows(path: Path) -> Iterator[Row]:
    """All rows of a file or folder. Raises `DataError` at the first that is wrong."""
    for file in data_files(path):
        for _, row in DataFile.open(file).checked():
            if isinstance(row, list):
                raise DataError(row[0])
            yield row


def conversations(path: Path) -> Iterator[ConversationRow]:
    """What is there to imitate. Questions beside it are passed over. Raises `DataError`."""
    return (row for row in read_rows(path) if isinstance(row, ConversationRow))


def questions(path: Path) -> Iterator[QuestionRow]:
    """What is there to practise on. Conversations beside it are passed over. Raises `DataError`."""
    return (row for row in read_rows(path) if isinstance(row, QuestionRow))


def _from_parquet(path: Path) -> Iterator[Checked]:
    file = _parquet(path)
    kind = row_type(file.schema_arrow.names)
    if kind is None:
        raise _file_problem(path, _NO_KIND, _OURS)
    _check_columns(path, file.schema_arrow, SCHEMAS[kind])
    number = 0
    for batch in file.iter_batches(BATCH_ROWS):
        for values in from_arrow(batch):
            number += 1
            yield number, _ours(kind, values, path, number)


def _check_columns(path: Path, found: pa.Schema, expected: pa.Schema) -> None:
    for field in expected:
        if field.name not in found.names:
            raise _file_problem(path, "is missing", f"Add it as {field.type}.", field.name)
        try:
            pa.nulls(0, found.field(field.name).type).cast(field.type)
        except pa.ArrowException as error:
            problem = f"is of type {found.field(field.name).type}"
            raise _file_problem(path, problem, f"Write it as {field.type}.", field.name) from error
    if extra := set(found.names) - set(expected.names):
        raise _file_problem(path, "is no column of this format", "Remove it.", min(extra))


def _ours(kind: type[Row], values: dict[str, Any], path: Path, number: int) -> Row | list[Problem]:
    owners = values.get("turns", [values]) or []
    for image in (one for owner in owners if owner for one in owner["images"] or () if one):
        if image["path"]:
            image["path"] = os.path.abspath(path.parent / image["path"])
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        return problems_of(error, path, number)


def _from_json(path: Path) -> Iterator[Checked]:
    kind: type[AuthorsRow] | None = None
    for number, values in json_items(path):
        if not isinstance(values, dict):
            yield number, [Problem(path, number, "", "is no object", _THEIRS)]
            continue
        if kind is None and (kind := authors_type(list(values))) is None:
            raise _file_problem(path, _NO_KIND, _THEIRS)
        yield number, _theirs(kind, values, path, number)


def _theirs(kind: type[AuthorsRow], values: dict[str, Any], path: Path, number: int) -> Row | list[Problem]:
    try:
        id = values.get("id", f"{path.stem}-{number}")
        id = id if isinstance(id, str) else json.dumps(id)
        return kind.model_validate(values).row(id, path.stem, path.parent)
    except ValidationError as error:
        return problems_of(error, path, number)


def _parquet(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise _file_problem(path, f"is no Parquet file ({error})", "Write it again.") from error


def _file_problem(path: Path, problem: str, remedy: str, field: str = "") -> DataError:
    return DataError(Problem(path, 0, field, problem, remedy))
