"""Rows to Parquet. A file appears when it is whole; until then it has another name."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import pyarrow.parquet as pq

from personavlm.jobs.data.rows import ConversationRow, Images, Row
from personavlm.jobs.data.schema import SCHEMAS, to_arrow

ROWS_AT_ONCE = 512


def write_rows(rows: Iterable[Row], kind: type[Row], path: Path) -> int:
    """Write rows of one kind; returns how many. Paths of images become relative to the file's folder."""
    count, schema = 0, SCHEMAS[kind]
    with (
        replacing(path) as unfinished,
        pq.ParquetWriter(unfinished, schema, compression="zstd") as writer,
    ):
        rest = iter(rows)
        while some := list(islice(rest, ROWS_AT_ONCE)):
            writer.write_batch(to_arrow([_relative(row, path.parent) for row in some], schema))
            count += len(some)
    return count


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path to write to, which becomes ``path`` at the end; after an error nothing of it is left."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield unfinished
        with unfinished.open("rb+") as file:
            os.fsync(file.fileno())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def _relative(row: Row, folder: Path) -> Row:
    if isinstance(row, ConversationRow):
        turns = tuple(
            turn.model_copy(update={"images": _relative_images(turn.images, folder)}) for turn in row.turns
        )
        return row.model_copy(update={"turns": turns})
    return row.model_copy(update={"images": _relative_images(row.images, folder)})


def _relative_images(images: Images, folder: Path) -> Images:
    return tuple(
        image.model_copy(update={"path": os.path.relpath(image.path, folder)}) if image.path else image
        for image in images
    )
