"""How speed and memory go with the number of memories."""

import json
import subprocess
import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from tests.benchmarks.report import REPEATS
from tests.benchmarks.store_parts.bench import Bench, shown
from tests.benchmarks.store_parts.data import PER_USER
from tests.benchmarks.store_parts.resident import WARM_UP
from tests.benchmarks.store_parts.searches import hot_search

FITTING_MB = 4_096
FITTING_USERS = 200


def growth(bench: Bench) -> None:
    """p50 of a hot search in a store of many memories, over one of few."""
    small, large = bench.sizes.small, bench.sizes.large
    with ExitStack() as stack:
        sides = {
            f"{count:,} memories": partial(
                hot_search,
                bench,
                bench.memories(count),
                stack.enter_context(bench.store(bench.loaded(count))),
            )
            for count in (large, small)
        }
        for side in sides.values():
            side(0)
        ratios = bench.compare("Search by vector, user in memory, by size of the store", "ms", sides)
    name = f"hot search, {large:,} memories over {small:,}"
    bench.report.demand(name, ratios[f"{small:,} memories"], "<=", 1.5)


def memory(bench: Bench) -> None:
    """Resident memory against the budget, with users by far too many for it; and what a memory takes."""
    folder, users = bench.loaded(bench.sizes.cold), bench.sizes.cold // PER_USER
    budget = bench.sizes.cache_mb
    bounded = _resident(folder, budget, users)
    grown = max(bounded["resident_mb"]) - bounded["resident_mb"][0]
    bench.report.figure(
        "resident memory under a budget", {"budget_mb": budget, "users": users, "grown_mb": grown}
    )
    rows = [
        ("budget (cache_mb)", shown(budget)),
        ("counted by the store at the end", shown(bounded["cached_mb"])),
        (f"resident with {WARM_UP} users", shown(bounded["resident_mb"][0])),
        *[
            (f"after {share * 10} % of {users:,} users", shown(mb))
            for share, mb in enumerate(bounded["resident_mb"])
            if share
        ],
    ]
    bench.report.table("Resident memory, users by far too many for the budget", ("", "MB"), rows)
    bench.report.demand("growth of resident memory", grown, "<=", budget, "MB")
    _memory_of_each(bench, folder, min(FITTING_USERS, users))


def _memory_of_each(bench: Bench, folder: Path, users: int) -> None:
    thousands = (users - WARM_UP) * PER_USER / 1000
    runs = [_resident(folder, FITTING_MB, users) for _ in range(REPEATS)]
    grown = [run["resident_mb"][-1] - run["resident_mb"][0] for run in runs]
    counted = [run["cached_mb"] * PER_USER / 1000 for run in runs]
    bench.report.samples("memory per 1,000 memories in use", "MB", [mb / thousands for mb in grown])
    bench.report.samples(
        "the same, as the store counts it",
        "MB",
        [mb * 1e3 / PER_USER / (thousands + WARM_UP * PER_USER / 1000) for mb in counted],
    )


def _resident(folder: Path, cache_mb: float, users: int) -> dict[str, Any]:
    module = "tests.benchmarks.store_parts.resident"
    command = [sys.executable, "-m", module, str(folder), str(cache_mb), str(users)]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    result: dict[str, Any] = json.loads(output)
    return result
