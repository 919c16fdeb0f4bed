"""The memory store held against its demands and its peers: same vectors, same texts, sides in turns.

Peers that are not installed are left out, and named. `--quick` checks that everything runs; its figures
mean nothing. `--memories 1000000` measures the greatest store that is asked for; loading it takes longest.

    python -m tests.benchmarks.memory_store [--only adds,hot] [--memories N] [--quick] [--json FILE]
"""

import argparse
import logging
import tempfile
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from personavlm.deployments.garbage import spare_collections
from tests.benchmarks.peers.engines import ENGINES
from tests.benchmarks.report import Report, arguments
from tests.benchmarks.store_parts.adds import single_adds
from tests.benchmarks.store_parts.bench import QUICK, Bench, Sizes
from tests.benchmarks.store_parts.clients import many_clients
from tests.benchmarks.store_parts.data import PER_USER
from tests.benchmarks.store_parts.full_ranking import ranking
from tests.benchmarks.store_parts.searches import after_adds, cold, hot
from tests.benchmarks.store_parts.sizes import growth, memory

PARTS: Mapping[str, Callable[[Bench], None]] = {
    "adds": single_adds,
    "clients": many_clients,
    "hot": hot,
    "cold": cold,
    "pieces": after_adds,
    "growth": growth,
    "memory": memory,
    "ranking": ranking,
}


def parts_of(text: str) -> tuple[str, ...]:
    """The parts that are named, in the order in which they are run."""
    names = set(filter(None, text.split(",")))
    if unknown := names - PARTS.keys():
        raise argparse.ArgumentTypeError(f"no such part: {', '.join(sorted(unknown))}")
    return tuple(name for name in PARTS if name in names)


def options_of() -> argparse.Namespace:
    parser = arguments("Measure the memory store.")
    parser.add_argument("--only", type=parts_of, default=tuple(PARTS), help=f"of {', '.join(PARTS)}")
    parser.add_argument("--memories", type=int, default=Sizes().large, help="in the greatest store")
    parser.add_argument("--quick", action="store_true", help="a smoke run of a minute")
    return parser.parse_args()


def main() -> None:
    options = options_of()
    spare_collections()  # as in a memory actor
    warnings.simplefilter("ignore")  # of the peers
    logging.getLogger("mem0").setLevel(logging.ERROR)
    sizes = QUICK if options.quick else replace(Sizes(), large=options.memories)
    report = Report(
        f"Memory store, {PER_USER} memories a user" + (" (quick: no figures)" if options.quick else "")
    )
    columns = SpinnerColumn(), TextColumn("{task.description}"), MofNCompleteColumn(), TimeElapsedColumn()
    with (
        tempfile.TemporaryDirectory() as folder,
        Progress(*columns, console=Console(stderr=True)) as progress,
    ):
        bench = Bench(report, sizes, Path(folder), progress)
        for name in options.only:
            with bench.part(name):
                PARTS[name](bench)
    absent = {engine.name: ", ".join(engine.missing) for engine in ENGINES if engine.missing}
    if absent:
        report.table("Left out", ("peer", "not installed"), list(absent.items()))
    bench.show_loads()
    report.finish(options.json)


if __name__ == "__main__":
    main()
