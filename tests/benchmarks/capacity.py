"""Nodes, GPUs, storage and money for 10,000 to 100 million users, and what is in short supply first.

What a turn costs is measured on this machine through the real service with the rules engine, or read from the
JSON file of an earlier run. All else is an assumption; the script prints every one. Latencies come from a
simulation of the queues, which is held against latencies measured here at three rates.

    python -m tests.benchmarks.capacity [--json FILE] [--costs FILE] [--turns 200] [--assume NAME=VALUE ...]
"""

import argparse
import asyncio
import tempfile
from dataclasses import fields
from pathlib import Path

from personavlm.deployments.local_ray import free_port, prepare_environment

prepare_environment()

from personavlm.deployments.app import running  # noqa: E402
from personavlm.deployments.keys import create_key  # noqa: E402
from personavlm.deployments.memory_pool import MemoryPool  # noqa: E402
from personavlm.platform.config import Config, MemoryConfig, ServiceConfig  # noqa: E402
from tests.benchmarks.capacity_parts.costs import Costs  # noqa: E402
from tests.benchmarks.capacity_parts.measuring import measure  # noqa: E402
from tests.benchmarks.capacity_parts.plan import (  # noqa: E402
    Assumptions,
    Plan,
    assumed,
    latency,
    on_this_machine,
    plan,
)
from tests.benchmarks.report import Report, arguments  # noqa: E402

USERS = (10_000, 1_000_000, 100_000_000)


def measured(turns: int) -> Costs:
    """Of the service, started here."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        keys = folder / "keys.json"
        key = create_key(keys, "bench", replay=True)
        config = Config(
            service=ServiceConfig(port=free_port(), keys_file=keys),
            memory=MemoryConfig(uri=str(folder / "memory")),
        )
        with running(config) as url:
            return asyncio.run(measure(url, key, MemoryPool.connect(config), turns))


def show_costs(report: Report, costs: Costs) -> None:
    report.figure("costs", costs.model_dump())
    rows = [(f"CPU of {role}", f"{ms:.1f} ms") for role, ms in costs.cpu_ms.items()]
    rows += [
        ("CPU of its update", f"{costs.update_cpu_ms:.1f} ms"),
        ("alone, from question to answer", f"{costs.alone_s * 1e3:.0f} ms"),
        ("stored / in memory", f"{costs.stored_bytes / 1e3:.1f} / {costs.cached_bytes / 1e3:.1f} kB"),
        ("rows of the largest table", f"{costs.rows:.1f}"),
        ("tokens of prompts / written", f"{costs.prompt_tokens:.0f} / {costs.completion_tokens:.0f}"),
        ("requests to object storage, writing / reading", f"{costs.puts:.1f} / {costs.gets:.1f}"),
        ("a commit there (moto's server on this machine)", f"{costs.commit_s * 1e3:.0f} ms"),
    ]
    report.table("What a turn costs (rules engine)", ("", "a turn"), rows)


def check_simulation(report: Report, costs: Costs) -> None:
    """The simulation of this machine beside what was measured on it."""
    rows = []
    for point in costs.points:
        told = on_this_machine(point.rate, costs)
        p50, p95 = told.percentile(0.5), told.percentile(0.95)
        rows.append((
            f"{point.rate:.1f} turns/s",
            f"{point.p50_s * 1e3:.0f} / {point.p95_s * 1e3:.0f}",
            f"{p50 * 1e3:.0f} / {p95 * 1e3:.0f}",
            f"{told.used['cpu']:.0%}",
        ))  # fmt: skip
        report.figure(f"simulated at {point.rate:.1f}/s", {"p50_s": p50, "p95_s": p95})
        off = max(p50 / point.p50_s, point.p50_s / p50)
        report.demand(f"median, simulated against measured, {point.rate:.1f} turns/s", off, "<=", 1.5, "x")
    columns = ("", "measured p50 / p95, ms", "simulated, ms", "processors used")
    report.table(f"This machine, {costs.cores} cores", columns, rows)


def show_plans(report: Report, costs: Costs, by: Assumptions) -> None:
    plans = [plan(users, costs, by) for users in USERS]
    told = [latency(each, costs, by) for each in plans]
    rows = [
        ("turns/s in the busiest hour", *(f"{p.turns_s:,.0f}" for p in plans)),
        *(
            (f"cores for {role}", *(f"{p.cores[role]:,.1f}" for p in plans))
            for role in ("ingress", "policy", "memory")
        ),
        (f"nodes of {by.cores_a_node} cores", *(f"{p.cpu_nodes:,}" for p in plans)),
        ("GPUs", *(f"{p.gpus:,}" for p in plans)),
        ("memory of working sets, GB", *(f"{p.memory_gb:,.0f}" for p in plans)),
        ("object storage, TB", *(f"{p.stored_gb / 1e3:,.2f}" for p in plans)),
        ("shards", *(f"{p.shards:,}" for p in plans)),
        ("writing requests/s to storage", *(f"{p.puts_s:,.0f}" for p in plans)),
        ("whole reply, p50 / p95, s", *(f"{t.percentile(0.5):.1f} / {t.percentile(0.95):.1f}" for t in told)),
        *((f"$ a month: {what}", *(f"{p.monthly[what]:,.0f}" for p in plans)) for what in plans[0].monthly),
        ("$ a month and active user", *(f"{_each(p, by):.3f}" for p in plans)),
        ("first bottleneck", *(_bottleneck(p) for p in plans)),
    ]
    report.table("Plans", ("", *(f"{users:,} users" for users in USERS)), rows)
    for each in plans:
        report.figure(
            f"plan for {each.users:,.0f}", {"gpus": each.gpus, "nodes": each.cpu_nodes, **each.limits}
        )


def _each(asked: Plan, by: Assumptions) -> float:
    return sum(asked.monthly.values()) / (asked.users * by.daily_active)


def _bottleneck(asked: Plan) -> str:
    name, share = asked.bottleneck
    return f"{name}, {share:.0%} taken" if share < 1 else f"{name}: {share:,.0f} times too much for one"


def options_of() -> argparse.Namespace:
    parser = arguments("Nodes, GPUs, storage and money for so many users.")
    parser.add_argument("--costs", type=Path, metavar="FILE", help="JSON of an earlier run: measure nothing")
    parser.add_argument("--turns", type=int, default=200, help="of each measurement")
    parser.add_argument("--assume", nargs="*", default=[], metavar="NAME=VALUE", help="in place of a default")
    return parser.parse_args()


def main() -> None:
    options = options_of()
    by = assumed(options.assume)
    report = Report("Capacity")
    costs = Costs.load(options.costs) if options.costs else measured(options.turns)
    show_costs(report, costs)
    check_simulation(report, costs)
    rows = [(field.name, f"{getattr(by, field.name):g}") for field in fields(by)]
    report.table("Assumed", ("", "value"), rows)
    show_plans(report, costs, by)
    report.finish(options.json)


if __name__ == "__main__":
    main()
