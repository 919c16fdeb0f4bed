"""Kills a store at random points under load, spoils what was not flushed yet, and looks for what is missing.

Eleven kinds of runs: plain kills in both kinds of durability, kills while a store opens, torn journals,
manifests and data files, half-written images, and, on disks of their own, losses of power and full disks;
those need the right to mount and are replaced by plain kills without it. 100 runs take about ten minutes.

    python -m tests.benchmarks.crash [--runs N] [--only KIND,...] [--seed N] [--json FILE]
"""

import argparse
import logging
import random
import statistics
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from personavlm.memory_store.errors import StoreError
from personavlm.memory_store.storage.lance import UNREADABLE
from tests.benchmarks.crash_parts.disk import Disk, mounting_allowed
from tests.benchmarks.crash_parts.runs import DISK_MB, KINDS, LIVES, Kind, Life, Outcome
from tests.benchmarks.report import Report, arguments

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


class Lives:
    """The stores at work, one for each kind of run, a new one after some runs."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lives: dict[str, Life] = {}
        self._made = 0

    def of(self, kind: Kind) -> Life:
        """The store of the next run of a kind."""
        life = self._lives.get(kind.name)
        if life is None or life.runs == LIVES:
            self._made += 1
            place = self._folder / f"life {self._made}"
            place.mkdir()
            disk = Disk.make(self._folder / f"life {self._made}.img", DISK_MB) if kind.on_a_disk else None
            life = self._lives[kind.name] = Life(place, disk)
        return life

    def end(self, kind: Kind) -> None:
        """Never use this store again."""
        self._lives.pop(kind.name)


def one_run(kind: Kind, lives: Lives, chance: random.Random, console: Console) -> Outcome:
    """One run, and what is wrong in words at once."""
    life = lives.of(kind)
    try:
        outcome = kind.run(life, chance)
    except (StoreError, *UNREADABLE) as error:
        outcome = Outcome()
        console.print(f"{kind.name}: {type(error).__name__}: {error}", style="red", markup=False)
    for finding in (*outcome.findings.lost, *outcome.findings.doubled, *outcome.findings.wrong):
        console.print(f"{kind.name}: {finding}", style="red", markup=False)
    if outcome.findings or not outcome.opened:
        lives.end(kind)
    return outcome


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
    chance = random.Random(options.seed)
    outcomes: dict[str, list[Outcome]] = defaultdict(list)
    console = Console(stderr=True)
    columns = SpinnerColumn(), TextColumn("{task.description}"), MofNCompleteColumn(), TimeElapsedColumn()
    with tempfile.TemporaryDirectory() as name, Progress(*columns, console=console) as progress:
        kinds = options.only or tuple(KINDS.values())
        if not mounting_allowed(Path(name)):
            kinds = tuple(kind for kind in kinds if not kind.on_a_disk)
            console.print("mounting is not allowed here: no losses of power and no full disks")
        lives = Lives(Path(name))
        task = progress.add_task("", total=options.runs)
        for kind in schedule(options.runs, kinds, chance):
            progress.update(task, description=kind.name)
            outcomes[kind.name].append(one_run(kind, lives, chance, console))
            progress.advance(task)
    show(report, {name: outcomes[name] for name in KINDS if name in outcomes})
    report.finish(options.json)


if __name__ == "__main__":
    main()
