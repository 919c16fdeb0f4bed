"""What the parts of the benchmark share: sizes, stores loaded once, sides in turns, comparisons."""

import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

from rich.progress import Progress

from tests.benchmarks.peers.our_store import OurStore
from tests.benchmarks.report import REPEATS, Figure, Report, samples
from tests.benchmarks.store_parts.data import DIM, PER_USER, Memories, RandomVectors

OURS = "this store"
K = 10

T = TypeVar("T")

Measure = Callable[[int], float]
"""Takes the number of the repeat, gives one figure."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much of everything. Memories come in hundreds, one hundred a user."""

    small: int = 10_000
    large: int = 100_000
    cold: int = 100_000
    adds: int = 100
    clients: int = 64
    client_seconds: float = 6.0
    queries: int = 200
    cold_queries: int = 40
    cache_mb: int = 256
    ranked: tuple[int, ...] = (100, 1000)


QUICK = Sizes(
    small=1_000,
    large=2_000,
    cold=2_000,
    adds=20,
    clients=8,
    client_seconds=0.3,
    queries=20,
    cold_queries=4,
    cache_mb=2,
    ranked=(100,),
)


class Bench:
    """One run. What several parts need is loaded by the first of them."""

    def __init__(self, report: Report, sizes: Sizes, folder: Path, progress: Progress) -> None:
        self.report, self.sizes, self._folder, self._progress = report, sizes, folder, progress
        self.vectors = RandomVectors(DIM)
        self._loaded: dict[int, Path] = {}
        self._folders = 0
        self._loads: list[tuple[str, str, str, str]] = []

    def folder(self) -> Path:
        """A new, empty one."""
        self._folders += 1
        folder = self._folder / str(self._folders)
        folder.mkdir()
        return folder

    def memories(self, count: int) -> Memories:
        """So many, one hundred a user."""
        return Memories(count // PER_USER, self.vectors)

    def store(self, folder: Path, cache_mb: float = 512) -> closing[OurStore]:
        """This project's store in a folder, open until the block ends."""
        return closing(OurStore(folder, DIM, cache_mb))

    def loaded(self, count: int) -> Path:
        """A folder with a closed store of so many memories, compacted; every part gets the same."""
        if count not in self._loaded:
            self._loaded[count] = self.folder()
            memories = self.memories(count)
            started = time.perf_counter()
            with self.store(self._loaded[count], cache_mb=64) as store:
                for items in self.track(memories.by_user(), f"load {count:,} memories", memories.users):
                    store.load(items)
                store.settle()
            rate = count / (time.perf_counter() - started)
            self.report.figure(f"bulk load of {count} memories, memories/s", round(rate))
        return self._loaded[count]

    def track(self, steps: Iterator[T], name: str, total: int) -> Iterator[T]:
        """The steps, with a bar."""
        task = self._progress.add_task(name, total=total)
        for step in steps:
            yield step
            self._progress.advance(task)
        self._progress.remove_task(task)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Take the time of a part, and the machine's load as it begins and ends."""
        before, started = os.getloadavg()[0], time.perf_counter()
        task = self._progress.add_task(name, total=None)
        yield
        self._progress.remove_task(task)
        seconds = time.perf_counter() - started
        self._loads.append((name, f"{before:.2f}", f"{os.getloadavg()[0]:.2f}", f"{seconds:.0f}"))

    def show_loads(self) -> None:
        """The table of what `part` saw."""
        self.report.table("Load average of the machine", ("part", "begin", "end", "s"), self._loads)

    def alternate(self, name: str, sides: Mapping[str, Measure]) -> dict[str, list[float]]:
        """Each side's figure of every repeat. Sides take turns, and another one begins each time."""
        results: dict[str, list[float]] = {side: [] for side in sides}
        order = list(sides)
        for repeat in self.track(iter(range(REPEATS)), name, REPEATS):
            first = repeat % len(order)
            for side in order[first:] + order[:first]:
                results[side].append(sides[side](repeat))
        return results

    def compare(
        self, title: str, unit: str, sides: Mapping[str, Measure], notes: Mapping[str, str] | None = None
    ) -> dict[str, float]:
        """Measure the sides in turns and ``show`` them."""
        return self.show(title, unit, self.alternate(title, sides), notes)

    def show(
        self,
        title: str,
        unit: str,
        results: Mapping[str, Sequence[float]],
        notes: Mapping[str, str] | None = None,
    ) -> dict[str, float]:
        """A table of the sides' figures of every repeat. Returns the median of the first side's figure over
        each other's of the same repeat."""
        first, *_ = results
        ratios = {
            side: [a / b for a, b in zip(results[first], values, strict=True)]
            for side, values in results.items()
        }
        figures: dict[str, Figure] = {}
        rows = []
        for side, values in results.items():
            spread, ratio = samples(values, unit), samples(ratios[side], "x")
            figures[side] = {**asdict(spread), "ratio": asdict(ratio)}
            cells = (shown(spread.median), span(values), shown(ratio.median), span(ratios[side]))
            rows.append((f"{side}{(notes or {}).get(side, '')}", *cells))
        self.report.figure(title, figures)
        columns = ("", f"{unit}, median", "least-greatest", f"{first} / it", "least-greatest")
        self.report.table(title, columns, rows)
        return {side: statistics.median(values) for side, values in ratios.items()}


def shown(value: float) -> str:
    """Three significant digits, thousands whole."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def span(values: Sequence[float]) -> str:
    """The least and the greatest."""
    return f"{shown(min(values))}-{shown(max(values))}"


def p50_ms(work: Callable[[T], object], steps: Sequence[T]) -> float:
    """The median of the milliseconds that the steps take."""
    spent = []
    for step in steps:
        started = time.perf_counter()
        work(step)
        spent.append((time.perf_counter() - started) * 1e3)
    return statistics.median(spent)
