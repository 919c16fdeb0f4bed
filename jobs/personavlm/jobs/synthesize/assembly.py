"""All parts of a run put together: two Parquet files, histories, stores, and what is said about them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from personavlm.jobs.data.reading import read_rows
from personavlm.jobs.data.rows import ConversationRow, QuestionRow, Row
from personavlm.jobs.data.writing import replacing, write_rows
from personavlm.jobs.synthesize.manifest import Manifest, file_digest
from personavlm.jobs.synthesize.parts import (
    CONVERSATIONS,
    HISTORY,
    QUESTIONS,
    STORE,
    PartStatistics,
    part_folder,
)
from personavlm.jobs.synthesize.report import write_report


def assemble(output: Path, manifest: Manifest, parts: Sequence[PartStatistics]) -> Manifest:
    """Write the run's files from its parts, the manifest last; then the parts go. May be done again."""
    users = [part.user for part in parts]
    counts = {
        "personas": len(users),
        "turns": sum(part.turns for part in parts),
        "conversations": write_rows(
            _rows(output, users, CONVERSATIONS), ConversationRow, output / CONVERSATIONS
        ),
        "questions": write_rows(_rows(output, users, QUESTIONS), QuestionRow, output / QUESTIONS),
    }
    for user in users:
        _copy(part_folder(output, user) / HISTORY, output / "histories" / f"{user}.json")
        _copy(part_folder(output, user) / STORE, output / "stores" / f"{user}.zip")
    write_report(output, parts)
    files = {name: file_digest(output / name) for name in (CONVERSATIONS, QUESTIONS)}
    finished = manifest.model_copy(update={"finished": True, "counts": counts, "files": files})
    finished.write(output)
    shutil.rmtree(output / "parts")
    return finished


def _rows(output: Path, users: Sequence[str], name: str) -> Iterator[Row]:
    return (row for user in users for row in read_rows(part_folder(output, user) / name))


def _copy(source: Path, target: Path) -> None:
    with replacing(target) as unfinished:
        shutil.copyfile(source, unfinished)
