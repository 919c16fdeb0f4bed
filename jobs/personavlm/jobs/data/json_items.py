"""JSON files of any size, one item after the other: a list, or one item a line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from personavlm.jobs.data.problems import DataError, Problem

CHUNK = 1 << 20
_SPACE = " \t\r\n"
_MEND = "Correct the file; what follows was not read."


def json_items(path: Path, chunk: int = CHUNK) -> Iterator[tuple[int, object]]:
    """The items with their numbers from 1; in JSON Lines these are the numbers of the lines.
    ``chunk`` characters are read at once.

    Raises `DataError` where the file is not JSON, and for a list that ends too early.
    """
    try:
        with path.open(encoding="utf-8") as file:
            start = file.read(chunk).lstrip(_SPACE + "\ufeff")[:1]
            file.seek(0)
            yield from _Listed(path, file, chunk).items() if start == "[" else _lines(path, file)
    except UnicodeDecodeError as error:
        raise DataError(Problem(path, 0, "", "is not UTF-8 text", "Save it as UTF-8.")) from error


def _lines(path: Path, file: IO[str]) -> Iterator[tuple[int, object]]:
    for number, line in enumerate(file, 1):
        if not line.strip():
            continue
        try:
            yield number, json.loads(line)
        except json.JSONDecodeError as error:
            problem = f"is not JSON ({error.msg} at character {error.pos + 1})"
            raise DataError(Problem(path, number, "", problem, _MEND)) from error


class _Listed:
    """A JSON list that is read piece by piece."""

    def __init__(self, path: Path, file: IO[str], chunk: int) -> None:
        self._path, self._file, self._chunk = path, file, chunk
        self._buffer, self._decoder = "", json.JSONDecoder()

    def items(self) -> Iterator[tuple[int, object]]:
        self._take("[", 0)
        number = 1
        if self._peek(1) == "]":
            return
        while True:
            yield number, self._item(number)
            if self._peek(number) == "]":
                return
            self._take(",", number)
            number += 1

    def _item(self, number: int) -> object:
        """The next item. The buffer grows until it holds all of it and the character behind it."""
        self._peek(number)
        while True:
            try:
                value, end = self._decoder.raw_decode(self._buffer)
                if end < len(self._buffer) or not self._grow():
                    self._buffer = self._buffer[end:]
                    return value
            except json.JSONDecodeError as error:
                if not self._grow():
                    raise self._problem(number, f"is not JSON ({error.msg})") from error

    def _peek(self, number: int) -> str:
        """The next character that is no space."""
        self._buffer = self._buffer.lstrip(_SPACE + "\ufeff")
        while not self._buffer:
            if not self._grow():
                raise self._problem(number, "the list ends in the middle")
            self._buffer = self._buffer.lstrip(_SPACE)
        return self._buffer[0]

    def _take(self, character: str, number: int) -> None:
        if self._peek(number) != character:
            raise self._problem(number, f"{self._buffer[:1]!r} stands where {character!r} belongs")
        self._buffer = self._buffer[1:]

    def _grow(self) -> bool:
        """Read on, each time twice as much: an item is then tried a few times only, however long it is."""
        more = self._file.read(max(self._chunk, len(self._buffer)))
        self._buffer += more
        return bool(more)

    def _problem(self, number: int, problem: str) -> DataError:
        return DataError(Problem(self._path, number, "", problem, _MEND))
