"""Durable adds by many clients at once, as threads and as tasks of an event loop, and the tail meanwhile."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from functools import partial
from threading import Barrier, Event, Thread

import numpy as np

from personavlm.memory_store.storage.journal_writer import TAIL_ROWS
from personavlm.memory_store.turn_queue import TurnQueue
from tests.benchmarks.peers.items import Item
from tests.benchmarks.peers.our_store import OurStore, draft_of, user_key
from tests.benchmarks.peers.writers import Grouped, LanceCommits, Queued, SqliteInserts
from tests.benchmarks.store_parts.bench import OURS, Bench, Measure, shown
from tests.benchmarks.store_parts.data import PER_USER, REPLY, text_of

SAMPLE_S = 0.25
SQLITE, LANCE = "SQLite group commit", "LanceDB group commit, fsynced"
NOTHING = np.zeros(0, np.float32)  # none of these writers stores a vector

Add = Callable[[Item], None]
AddLater = Callable[[Item], Awaitable[None]]
Surroundings = Callable[[], AbstractContextManager[None]]


def many_clients(bench: Bench) -> None:
    """Adds a second of closed-loop clients, over seconds enough for the tail to show."""
    with ExitStack() as stack:
        ours = stack.enter_context(bench.store(bench.folder()))
        tail = TailWatch(ours)
        sqlite = stack.enter_context(closing(Grouped(SqliteInserts(bench.folder()))))
        lance = stack.enter_context(closing(Grouped(LanceCommits(bench.folder()))))
        adds: Mapping[str, Add] = {OURS: ours.add, SQLITE: sqlite.add, LANCE: lance.add}
        sides = {name: _threads(bench, add, tail.over(name)) for name, add in adds.items()}
        _compare(bench, "threads", sides)
    with ExitStack() as stack:
        ours = stack.enter_context(bench.store(bench.folder()))
        tail.watch(ours)
        queue = TurnQueue(ours.store)

        async def add_to_ours(item: Item) -> None:
            await queue.append(user_key(item.user), draft_of(item))

        queued_sqlite = stack.enter_context(closing(Queued(SqliteInserts(bench.folder()))))
        queued_lance = stack.enter_context(closing(Queued(LanceCommits(bench.folder()))))
        later: Mapping[str, AddLater] = {
            OURS: add_to_ours,
            SQLITE: queued_sqlite.add,
            LANCE: queued_lance.add,
        }
        sides = {name: _tasks(bench, add, tail.over(name)) for name, add in later.items()}
        _compare(bench, "tasks of an event loop", sides)
    tail.report(bench)


def _compare(bench: Bench, kind: str, sides: Mapping[str, Measure]) -> None:
    clients = f"{bench.sizes.clients} {kind}"
    ratios = bench.compare(f"Durable adds by {clients}", "adds/s", sides)
    bench.report.demand(f"adds/s, {clients}, over fsynced LanceDB", ratios[LANCE], ">=", 10)
    bench.report.demand(f"adds/s, {clients}, over bare SQLite", ratios[SQLITE], ">=", 0.5)


def _item(client: int, repeat: int, count: int) -> Item:
    """A user gets a hundred memories, then comes the next one."""
    user, id = f"c{client}-{repeat}-{count // PER_USER}", f"c{client}-{repeat}-{count}"
    return Item(id, user, text_of(count), REPLY, NOTHING)


def _threads(bench: Bench, add: Add, surroundings: Surroundings) -> Measure:
    clients, seconds = bench.sizes.clients, bench.sizes.client_seconds

    def measure(repeat: int) -> float:
        barrier, counts = Barrier(clients + 1), [0] * clients

        def work(client: int) -> None:
            barrier.wait()
            end = time.perf_counter() + seconds
            while time.perf_counter() < end:
                add(_item(client, repeat, counts[client]))
                counts[client] += 1

        threads = [Thread(target=work, args=(client,)) for client in range(clients)]
        for thread in threads:
            thread.start()
        with surroundings():
            barrier.wait()
            started = time.perf_counter()
            for thread in threads:
                thread.join()
            return sum(counts) / (time.perf_counter() - started)

    return measure


def _tasks(bench: Bench, add: AddLater, surroundings: Surroundings) -> Measure:
    clients, seconds = bench.sizes.clients, bench.sizes.client_seconds

    async def work(client: int, repeat: int, end: float) -> int:
        count = 0
        while time.perf_counter() < end:
            await add(_item(client, repeat, count))
            count += 1
        return count

    async def run(repeat: int) -> float:
        started = time.perf_counter()
        counts = await asyncio.gather(*(work(client, repeat, started + seconds) for client in range(clients)))
        return sum(counts) / (time.perf_counter() - started)

    def measure(repeat: int) -> float:
        with surroundings():
            return asyncio.run(run(repeat))

    return measure


class TailWatch:
    """Looks at the store's tail some times a second and keeps the greatest seen.

    The tail is emptied before each measurement, lest one side's background work weigh on another.
    """

    def __init__(self, ours: OurStore) -> None:
        self._store = ours.store
        self.rows = self.bytes = 0
        self.age_s = 0.0

    def watch(self, ours: OurStore) -> None:
        """Go on with another store."""
        self._store = ours.store

    def over(self, side: str) -> Surroundings:
        """What is to surround a side's measurement: a look at the tail where the side is this store."""
        return partial(self._over, side)

    @contextmanager
    def _over(self, side: str) -> Iterator[None]:
        self._store.flush()
        done = Event()
        watcher = Thread(target=self._watch, args=(done,))
        if side == OURS:
            watcher.start()
        yield
        done.set()
        if side == OURS:
            watcher.join()

    def _watch(self, done: Event) -> None:
        while not done.wait(SAMPLE_S):
            stats = self._store.stats()
            self.rows, self.bytes = max(self.rows, stats.tail_rows), max(self.bytes, stats.tail_bytes)
            self.age_s = max(self.age_s, stats.tail_age_s)

    def report(self, bench: Bench) -> None:
        """A table, and the bound as a demand."""
        figures = {"rows": self.rows, "MB": self.bytes / 1e6, "age of the oldest, s": self.age_s}
        bench.report.figure("greatest tail", figures)
        title = "The greatest tail seen: acknowledged, not yet in the tables"
        bench.report.table(title, ("", "greatest"), [(name, shown(value)) for name, value in figures.items()])
        bench.report.demand("rows in the tail", self.rows, "<=", TAIL_ROWS)
