"""Durable adds of a journal: group commit, against one INSERT a transaction and a bare group in SQLite.

Clients are threads that send their next add when the last one is on the disk. All sides store the same 600
bytes in WAL mode with synchronous=FULL. The bare group queues the same way and inserts plain tuples, without
entries, checks or a journal around it. Repeats are alternated.

    python -m tests.benchmarks.journal [--json FILE]
"""

import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from threading import Barrier, Lock, Thread
from typing import Self

from personavlm.memory_store.storage.group_commit import GroupCommit
from personavlm.memory_store.storage.journal import Entry, Journal
from tests.benchmarks.report import REPEATS, Report, arguments

CLIENTS = (1, 8, 64)
SECONDS = 1.5
LONE_ADDS = 1_000
DROP_EVERY = 8_000  # rows after which each side deletes them, as a drain does
PAYLOAD = bytes(range(256)) * 2 + b"x" * 88
JOURNAL, SINGLE, BARE = "group commit, journal", "one INSERT a transaction", "bare group in SQLite"
TABLE = 'CREATE TABLE entries (seq INTEGER PRIMARY KEY, "table" TEXT, uid TEXT, payload BLOB)'

Add = Callable[[], None]
Make = Callable[[Path, ExitStack], Add]


def journal_side(folder: Path, stack: ExitStack) -> Add:
    """What the store does for a write, without its tail and tables."""
    journal = stack.enter_context(closing(Journal.open(folder / "journal.sqlite")))
    last = 0

    def commit(group: Sequence[bytes]) -> None:
        nonlocal last
        first = last + 1
        last += len(group)
        journal.append([Entry(seq, "turns", "tenant|user", data) for seq, data in enumerate(group, first)])
        if last // DROP_EVERY != (first - 1) // DROP_EVERY:
            journal.drop_through(last)

    group = GroupCommit(commit)
    return lambda: group.submit(PAYLOAD)


def _connection(folder: Path, stack: ExitStack) -> sqlite3.Connection:
    path = folder / "rows.sqlite"
    connection = stack.enter_context(
        closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False))
    )
    for setting in ("journal_mode=WAL", "synchronous=FULL"):
        connection.execute(f"PRAGMA {setting}")
    connection.execute(TABLE)
    return connection


def bare_side(folder: Path, stack: ExitStack) -> Add:
    """The same queue in front of plain SQLite."""
    connection = _connection(folder, stack)
    last = 0

    def commit(group: Sequence[bytes]) -> None:
        nonlocal last
        first = last + 1
        last += len(group)
        rows = [(seq, "turns", "tenant|user", data) for seq, data in enumerate(group, first)]
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("INSERT INTO entries VALUES (?, ?, ?, ?)", rows)
        connection.execute("COMMIT")
        if last // DROP_EVERY != (first - 1) // DROP_EVERY:
            connection.execute("DELETE FROM entries WHERE seq <= ?", (last,))

    group = GroupCommit(commit)
    return lambda: group.submit(PAYLOAD)


def single_side(folder: Path, stack: ExitStack) -> Add:
    """Each add is a transaction; clients take turns."""
    connection = _connection(folder, stack)
    turn, seqs = Lock(), count(1)

    def add() -> None:
        with turn:
            seq = next(seqs)
            connection.execute(
                "INSERT INTO entries VALUES (?, ?, ?, ?)", (seq, "turns", "tenant|user", PAYLOAD)
            )
            if seq % DROP_EVERY == 0:
                connection.execute("DELETE FROM entries WHERE seq <= ?", (seq,))

    return add


SIDES: dict[str, Make] = {
    JOURNAL: journal_side,
    SINGLE: single_side,
    BARE: bare_side,
}


@dataclass(frozen=True, slots=True)
class Result:
    """One repeat: adds a second, the median and the 95th percentile of an add in milliseconds."""

    rate: float
    p50: float
    p95: float

    @classmethod
    def of(cls, waits: Sequence[float], seconds: float) -> Self:
        return cls(len(waits) / seconds, statistics.median(waits), sorted(waits)[int(len(waits) * 0.95)])


def timed_add(add: Add) -> float:
    """Milliseconds until it is on the disk."""
    begun = time.perf_counter()
    add()
    return (time.perf_counter() - begun) * 1e3


def one_client() -> dict[str, Result]:
    """The sides take turns at every add, so whatever else the disk does strikes all alike."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        adds = {name: make(_subfolder(folder, name), stack) for name, make in SIDES.items()}
        waits: dict[str, list[float]] = {name: [] for name in SIDES}
        for _ in range(LONE_ADDS):
            for name, add in adds.items():
                waits[name].append(timed_add(add))
    return {name: Result.of(own, sum(own) / 1e3) for name, own in waits.items()}


def many_clients(clients: int) -> dict[str, Result]:
    """Each side for some seconds, one after the other."""
    with tempfile.TemporaryDirectory() as folder:
        return {name: _side(make, _subfolder(folder, name), clients) for name, make in SIDES.items()}


def _subfolder(folder: str, name: str) -> Path:
    path = Path(folder, name)
    path.mkdir()
    return path


def _side(make: Make, folder: Path, clients: int) -> Result:
    with ExitStack() as stack:
        add = make(folder, stack)
        waits: list[list[float]] = [[] for _ in range(clients)]
        start = Barrier(clients + 1)

        def client(own: list[float]) -> None:
            start.wait()
            end = time.perf_counter() + SECONDS
            while time.perf_counter() < end:
                own.append(timed_add(add))

        threads = [Thread(target=client, args=(own,)) for own in waits]
        for thread in threads:
            thread.start()
        start.wait()
        begun = time.perf_counter()
        for thread in threads:
            thread.join()
        return Result.of([wait for own in waits for wait in own], time.perf_counter() - begun)


def measure(report: Report, clients: int) -> dict[str, Result]:
    """Medians over the repeats, after one that warms up."""
    repeats = [one_client() if clients == 1 else many_clients(clients) for _ in range(REPEATS + 1)][1:]
    medians = {}
    for name in SIDES:
        own, title = [repeat[name] for repeat in repeats], f"{clients} clients, {name}"
        medians[name] = Result(
            report.samples(title, "adds/s", [result.rate for result in own]),
            report.samples(f"{title}, p50", "ms", [result.p50 for result in own]),
            report.samples(f"{title}, p95", "ms", [result.p95 for result in own]),
        )
    return medians


def main() -> None:
    options = arguments("Durable adds of the journal").parse_args()
    report = Report("Durable adds of 600 bytes")
    for clients in CLIENTS:
        medians = measure(report, clients)
        journal = medians[JOURNAL]
        if clients == 1:
            report.demand("1 client, p50 over one INSERT", journal.p50 / medians[SINGLE].p50, "<=", 1.25)
        if clients == max(CLIENTS):
            report.demand(
                f"{clients} clients, adds/s over a bare group", journal.rate / medians[BARE].rate, ">=", 0.5
            )
    report.finish(options.json)


if __name__ == "__main__":
    main()
