"""Durable adds one after the other."""

import statistics
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from typing import Protocol

from tests.benchmarks.peers.engines import CHROMA, MEM0, PGVECTOR, SQLITE_NUMPY
from tests.benchmarks.peers.items import Item
from tests.benchmarks.peers.writers import LanceCommits, SqliteInserts
from tests.benchmarks.store_parts.bench import OURS, Bench, p50_ms
from tests.benchmarks.store_parts.data import DIM, PER_USER

USERS = 20
REPEATS = 11
SQLITE_FULL = "SQLite, synchronous=FULL"


class Writer(Protocol):
    def add(self, item: Item) -> None: ...


def single_adds(bench: Bench) -> None:
    """p50 of one durable add at a time. Engines of vectors store the vector too, the others the texts."""
    with ExitStack() as stack:
        ours = stack.enter_context(bench.store(bench.folder()))
        engines: dict[str, Writer] = {
            f"{engine.name}, with vector": stack.enter_context(closing(engine.open(bench.folder(), DIM)))
            for engine in (PGVECTOR, SQLITE_NUMPY, CHROMA, MEM0)
            if not engine.missing
        }
        pair: Mapping[str, Writer] = {
            OURS: ours,
            SQLITE_FULL: stack.enter_context(closing(SqliteInserts(bench.folder()))),
        }
        others: Mapping[str, Writer] = {
            "LanceDB, fsynced": stack.enter_context(closing(LanceCommits(bench.folder()))),
            **engines,
        }
        results: dict[str, list[float]] = {name: [] for name in (*pair, *others)}
        for repeat in bench.track(iter(range(REPEATS)), "single adds", REPEATS):
            items = _items(bench, repeat)
            for name, values in _add_in_turns(pair, items).items():
                results[name].append(statistics.median(values))
            ours.store.flush()  # its background work must not weigh on the others
            for name, writer in others.items():
                results[name].append(p50_ms(writer.add, items[: len(items) // 5]))
    ratios = bench.show("One durable add", "ms", results)
    bench.report.demand(
        "durable single add, p50 over SQLite synchronous=FULL", ratios[SQLITE_FULL], "<=", 1.25
    )


def _add_in_turns(writers: Mapping[str, Writer], items: Sequence[Item]) -> dict[str, list[float]]:
    """Milliseconds of each add. Each item goes to all writers before the next one: what an fsync takes
    on a disk that others use changes from second to second."""
    spent: dict[str, list[float]] = {name: [] for name in writers}
    for item in items:
        for name, writer in writers.items():
            spent[name].append(p50_ms(writer.add, [item]))
    return spent


def _items(bench: Bench, repeat: int) -> Sequence[Item]:
    memories, count = bench.memories(USERS * PER_USER), bench.sizes.adds
    numbers = range(repeat * count, (repeat + 1) * count)
    return [memories.numbered(number % USERS, [number], reply=True)[0] for number in numbers]
