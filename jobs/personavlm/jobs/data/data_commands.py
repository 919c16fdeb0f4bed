"""`personavlm data validate` and `personavlm data convert`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table

from personavlm.jobs.data.image_files import image_bytes
from personavlm.jobs.data.problems import DataError, Problem
from personavlm.jobs.data.reading import DataFile, data_files, read_rows
from personavlm.jobs.data.rows import ConversationRow, Images, Row, RowImage
from personavlm.jobs.data.validation import Findings, validate
from personavlm.jobs.data.writing import write_rows

EVERY = 500  # rows between two movements of the progress bar


def validate_path(path: Path, limit: int) -> int:
    """Print counts and the first ``limit`` problems; the exit status, 1 where there is any problem.

    Raises `DataError` for a path that holds no training data.
    """
    console = Console(soft_wrap=True)
    with _progress("rows checked", _row_count(path)) as seen:
        findings = validate(path, seen, keep=max(limit, 0))
    console.print(_counts(path, findings), soft_wrap=False)
    for problem in findings.problems:
        console.print(str(problem), markup=False, highlight=False)
    if findings.problem_count > len(findings.problems):
        console.print(f"… and {findings.problem_count - len(findings.problems):,} more; see --limit")
    if not findings.problem_count:
        console.print("No problems.")
    else:
        console.print(f"{findings.problem_count:,} problems in {findings.wrong_rows:,} rows or files.")
    return 1 if findings.problem_count else 0


def convert(source: Path, target: Path, *, embed: bool) -> int:
    """Write ``source`` as one Parquet file. Raises `DataError` at the first problem; nothing is written then.

    With ``embed`` the images go into the file; otherwise it names them relative to its own folder.
    """
    if target.suffix != ".parquet":
        raise DataError(Problem(target, 0, "", "does not end in .parquet", "Choose another name."))
    rows = read_rows(source)
    first = next(rows, None)
    if first is None:
        raise DataError(Problem(source, 0, "", "holds no row", "Choose another file."))
    with _progress("rows converted", _row_count(source)) as seen:
        checked = _of_one_kind(_chained(first, rows), type(first), source, seen)
        try:
            count = write_rows(map(_embedded, checked) if embed else checked, type(first), target)
        except OSError as error:
            problem = f"cannot be written ({error.strerror or error})"
            raise DataError(Problem(target, 0, "", problem, "Choose another place.")) from error
    Console(soft_wrap=True).print(f"{target}: {count:,} rows", highlight=False)
    return 0


def _chained(first: Row, rest: Iterable[Row]) -> Iterator[Row]:
    yield first
    yield from rest


def _of_one_kind(
    rows: Iterable[Row], kind: type[Row], source: Path, seen: Callable[[int], None]
) -> Iterator[Row]:
    for number, row in enumerate(rows, 1):
        if not isinstance(row, kind):
            problem = "holds conversations and questions"
            raise DataError(Problem(source, 0, "", problem, "Convert them one after the other."))
        seen(number)
        yield row


def _embedded(row: Row) -> Row:
    if isinstance(row, ConversationRow):
        turns = tuple(turn.model_copy(update={"images": _with_bytes(turn.images)}) for turn in row.turns)
        return row.model_copy(update={"turns": turns})
    return row.model_copy(update={"images": _with_bytes(row.images)})


def _with_bytes(images: Images) -> Images:
    return tuple(RowImage(data=image_bytes(image), at=image.at) for image in images)


def _row_count(path: Path) -> int | None:
    """Rows of a file or folder where all files say it, else ``None``; what is wrong is found later."""
    try:
        counts = [DataFile.open(file).rows for file in data_files(path)]
    except DataError:
        return None
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None


@contextmanager
def _progress(what: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """A bar on standard error; call what it gives with the number of rows done."""
    columns = (SpinnerColumn(), TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=total)

        def seen(count: int) -> None:
            if count % EVERY == 0:
                progress.update(task, completed=count)

        yield seen


def _counts(path: Path, findings: Findings) -> Table:
    table = Table(title=str(path))
    table.add_column("rows of")
    table.add_column("kind", no_wrap=True)
    for name in ("rows", "share", "images", "messages", "trained on"):
        table.add_column(name, justify="right")
    totals: dict[str, int] = {}
    for (what, _), tally in findings.tallies.items():
        totals[what] = totals.get(what, 0) + tally.rows
    for (what, kind), tally in sorted(findings.tallies.items()):
        numbers = [f"{number:,}" for number in (tally.images, tally.messages, tally.trained)]
        table.add_row(what, kind, f"{tally.rows:,}", f"{tally.rows / totals[what]:.1%}", *numbers)
    return table
