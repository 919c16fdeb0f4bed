"""What every benchmark script shares: facts of the machine, repeats, tables, demands, the JSON file.

A script measures into a `Report` and ends with `report.finish(json_file)`, which prints the tables, then
the demands as its last lines, and writes `{"machine", "figures", "demands"}` where asked to.
"""

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

WIDTH = 100
REPEATS = 5

Figure = float | int | str | Mapping[str, "Figure"]


@dataclass(frozen=True, slots=True)
class Samples:
    """Results of the same measurement made several times: the median, and the least and greatest."""

    median: float
    least: float
    greatest: float
    count: int
    unit: str


def samples(values: Sequence[float], unit: str) -> Samples:
    """Median and spread of at least five results. ValueError for fewer."""
    if len(values) < REPEATS:
        raise ValueError(f"a median needs at least {REPEATS} repeats, got {len(values)}")
    return Samples(statistics.median(values), min(values), max(values), len(values), unit)


def timed(work: Callable[[], object], count: int = REPEATS, warm_up: int = 1) -> list[float]:
    """Milliseconds that each of ``count`` calls takes, after ``warm_up`` calls that do not count."""
    return [_milliseconds(work) for _ in range(warm_up + count)][warm_up:]


def _milliseconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return (time.perf_counter() - started) * 1e3


def machine() -> dict[str, Figure]:
    """What the figures depend on; nothing that identifies the machine or its owner."""
    return {
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "processor": _processor(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "load_1min": round(os.getloadavg()[0], 2),
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


@dataclass(frozen=True, slots=True)
class Demand:
    """A measured value held against what is asked of it; ``demand`` reads like ``<= 2 ms``."""

    name: str
    value: float
    demand: str
    holds: bool


class Report:
    """Collects the figures and demands of one script."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._machine = machine()
        self._figures: dict[str, Figure] = {}
        self._medians: list[tuple[str, str, str, str]] = []
        self._tables: list[Table] = []
        self._demands: list[Demand] = []

    @property
    def holds(self) -> bool:
        """Whether every demand so far holds."""
        return all(demand.holds for demand in self._demands)

    def figure(self, name: str, value: Figure) -> None:
        """Record something that was measured once, or a group of figures, for the JSON file."""
        self._figures[name] = value

    def samples(self, name: str, unit: str, values: Sequence[float]) -> float:
        """Record a repeated measurement and give it a row in the table of medians; returns the median."""
        result = samples(values, unit)
        self._figures[name] = asdict(result)
        spread = f"{_short(result.least)}-{_short(result.greatest)}"
        self._medians.append((name, f"{_short(result.median)} {unit}", spread, str(result.count)))
        return result.median

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Show a table. The first column holds names, the others figures."""
        self._tables.append(_table(title, columns, rows))

    def demand(
        self, name: str, value: float, relation: Literal["<=", ">="], bound: float, unit: str = ""
    ) -> None:
        """Hold a value against a bound."""
        holds = value <= bound if relation == "<=" else value >= bound
        self._demands.append(Demand(name, value, f"{relation} {_short(bound)} {unit}".rstrip(), holds))

    def document(self) -> dict[str, object]:
        """The JSON file's content."""
        return {
            "machine": self._machine,
            "figures": self._figures,
            "demands": [asdict(demand) for demand in self._demands],
        }

    def finish(self, json_file: Path | None = None, console: Console | None = None) -> None:
        """Write the file, if asked for, and print everything, the demands last."""
        if json_file is not None:
            json_file.write_text(json.dumps(self.document(), indent=2, ensure_ascii=False) + "\n")
        console = console or Console(width=WIDTH)
        console.print(self._title, style="bold", markup=False)
        console.print(", ".join(f"{name} {value}" for name, value in self._machine.items()), markup=False)
        if self._medians:
            console.print(_table("", ("", "median", "least-greatest", "repeats"), self._medians))
        for table in self._tables:
            console.print(table)
        for demand in self._demands:
            verdict = "holds" if demand.holds else "FAILS"
            line = f"{verdict}  {demand.name}: {_short(demand.value)} (demand {demand.demand})"
            console.print(line, style="green" if demand.holds else "red", markup=False, highlight=False)


def _table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    table = Table(title=Text(title) if title else None, title_justify="left")
    for number, column in enumerate(columns):
        table.add_column(Text(column), justify="right" if number else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def _short(value: float) -> str:
    """Three significant digits, thousands whole."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def arguments(description: str) -> argparse.ArgumentParser:
    """A parser with the option that every script takes."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write machine, figures and demands there")
    return parser
