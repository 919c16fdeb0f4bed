"""Kills a store at random points under load, spoils what was not flushed yet, and looks for what is missing.

Eleven kinds of runs: plain kills in both kinds of durability, kills while a store opens, torn journals,
manifests and data files, half-written images, and, on disks of their own, losses of power and full disks;
those need the right to mount and are left out without it. Two stores are at work at any time, since a run
mostly waits. 100 runs take about ten minutes on two cores.

    python -m tests.benchmarks.crash [--runs N] [--only KIND,...] [--seed N] [--json FILE]
"""

import argparse
import logging
import random
import statistics
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock

from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from personavlm.memory_store.errors import StoreError
from personavlm.memory_store.storage.table_repair import UNREADABLE
from tests.benchmarks.crash_parts.disk import Disk, mounting_allowed
from tests.benchmarks.crash_parts.runs import DISK_MB, KINDS, LIVES, Kind, Life, Outcome
from tests.benchmarks.report import Report, arguments

AT_ONCE = 2
COLUMNS = ("kind of run", "runs", "spoilt", "acknowledged", "lost", "doubled", "wrong", "opened", "reopen s")


def kinds_of(text: str) -> tuple[Kind, ...]:
    """The kinds that are named."""
    names = [name for name in text.split(";") if name]
    if unknown := set(names) - KINDS.keys():
        raise argparse.ArgumentTypeError(f"no such kind: {'; '.join(sorted(unknown))}")
    return tuple(KINDS[name] for name in names)


def schedule(runs: int, kinds: Sequence[Kind], chance: random.Random) -> list[Kind]:
    """So many runs, the kinds by their shares, in random order."""
    pool = [kind for kind in kinds for _ in range(kind.share)]
    chosen: list[Kind] = []
    while len(chosen) < runs:
        chance.shuffle(pool)
        chosen += pool
    return chosen[:runs]


class Lane:
    """The runs of one kind, one after the other: a store for some runs, then a new one."""

    def __init__(self, folder: Path, kind: Kind, seed: int, console: Console) -> None:
        self._folder, self._kind, self._console = folder, kind, console
        self._chance = random.Random(f"{kind.name} {seed}")
        self._life: Life | None = None
        self._made = 0
        self._running = Lock()

    def run(self) -> Outcome:
        """One run, and what is wrong in words at once."""
        with self._running:
            life = self._life
            if life is None or life.runs == LIVES:
                life = self._life = self._new()
            try:
                outcome = self._kind.run(life, self._chance)
            except (StoreError, *UNREADABLE) as error:
                outcome = Outcome()
                self._say(f"{type(error).__name__}: {error}")
            for finding in (*outcome.findings.lost, *outcome.findings.doubled, *outcome.findings.wrong):
                self._say(finding)
            if outcome.findings or not outcome.opened:
                self._life = None
            return outcome

    def _new(self) -> Life:
        self._made += 1
        place = self._folder / f"{self._kind.name} {self._made}"
        place.mkdir()
        disk = Disk.make(place.with_suffix(".img"), DISK_MB) if self._kind.on_a_disk else None
        return Life(place, disk)

    def _say(self, text: str) -> None:
        self._console.print(f"{self._kind.name}: {text}", style="red", markup=False)


def show(report: Report, outcomes: Mapping[str, Sequence[Outcome]]) -> None:
    """The table, and what is demanded of its sums."""
    rows = [row_of(name, group) for name, group in outcomes.items()]
    every = [outcome for group in outcomes.values() for outcome in group]
    report.table("What was left after the kill", COLUMNS, [*rows, row_of("all", every)])
    for name, group in (*outcomes.items(), ("all", every)):
        report.figure(name, dict(zip(COLUMNS[1:], row_of(name, group)[1:], strict=True)))
    report.demand("acknowledged and lost", sum(len(each.findings.lost) for each in every), "<=", 0)
    report.demand("doubled", sum(len(each.findings.doubled) for each in every), "<=", 0)
    report.demand(
        "out of order, half or not erased", sum(len(each.findings.wrong) for each in every), "<=", 0
    )
    report.demand("stores that opened again", sum(each.opened for each in every), ">=", len(every))


def row_of(name: str, group: Sequence[Outcome]) -> tuple[str, ...]:
    counts = (
        len(group),
        sum(each.spoilt for each in group),
        sum(each.acknowledged for each in group),
        sum(len(each.findings.lost) for each in group),
        sum(len(each.findings.doubled) for each in group),
        sum(len(each.findings.wrong) for each in group),
        sum(each.opened for each in group),
    )
    return name, *(f"{count:,}" for count in counts), f"{statistics.median(e.reopen_s for e in group):.2f}"


def options_of() -> argparse.Namespace:
    parser = arguments("Kill a store under load, again and again.")
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--only", type=kinds_of, default=(), help=f"of {'; '.join(KINDS)}")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def main() -> None:
    options = options_of()
    logging.getLogger("personavlm").setLevel(logging.CRITICAL)  # it warns of every file that was spoilt
    report = Report(f"{options.runs} kills of a memory store under load")
    outcomes: dict[str, list[Outcome]] = defaultdict(list)
    console = Console(stderr=True)
    columns = SpinnerColumn(), TextColumn("{task.description}"), MofNCompleteColumn(), TimeElapsedColumn()
    with (
        tempfile.TemporaryDirectory() as name,
        Progress(*columns, console=console) as progress,
        ThreadPoolExecutor(AT_ONCE) as pool,
    ):
        kinds = options.only or tuple(KINDS.values())
        if not mounting_allowed(Path(name)):
            kinds = tuple(kind for kind in kinds if not kind.on_a_disk)
            console.print("mounting is not allowed here: no losses of power and no full disks")
        lanes = {kind.name: Lane(Path(name), kind, options.seed, console) for kind in kinds}
        task = progress.add_task("", total=options.runs)

        def run(kind: Kind) -> None:
            progress.update(task, description=kind.name)
            outcomes[kind.name].append(lanes[kind.name].run())
            progress.advance(task)

        list(pool.map(run, schedule(options.runs, kinds, random.Random(options.seed))))
    show(report, {name: outcomes[name] for name in KINDS if name in outcomes})
    report.finish(options.json)


if __name__ == "__main__":
    main()
