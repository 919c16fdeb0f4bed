"""Plans of capacity follow from costs and assumptions, and figures of an earlier run can be read again."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.benchmarks.capacity_parts.costs import Costs, Point
from tests.benchmarks.capacity_parts.measuring import cpu_seconds
from tests.benchmarks.capacity_parts.plan import Assumptions, assumed, latency, on_this_machine, plan

COSTS = Costs(
    cores=2,
    cpu_ms={"ingress": 10, "policy": 12, "memory": 26, "other": 10},
    update_cpu_ms=13,
    alone_s=0.07,
    stored_bytes=11_000,
    rows=3,
    cached_bytes=15_000,
    prompt_tokens=1_200,
    cached_prompt_tokens=0,
    completion_tokens=30,
    puts=16,
    gets=4,
    commit_s=0.05,
    points=[Point(rate=10, p50_s=0.08, p95_s=0.2)],
)
BY = Assumptions()


@given(st.integers(1_000, 10**9))
def test_more_users_never_need_less(users: int) -> None:
    less, more = plan(users, COSTS, BY), plan(2 * users, COSTS, BY)
    for name in ("turns_s", "cpu_nodes", "gpus", "memory_gb", "stored_gb", "shards", "puts_s"):
        assert getattr(more, name) >= getattr(less, name) > 0
    assert sum(more.monthly.values()) >= sum(less.monthly.values())
    assert more.bottleneck[1] >= less.bottleneck[1]


def test_one_million_users_by_hand() -> None:
    asked = plan(1_000_000, COSTS, replace(BY, daily_active=0.1, turns_a_day=8.64, peak=5, used=0.5))
    assert asked.turns_s == pytest.approx(50)
    assert asked.cores == pytest.approx({"ingress": 1.0, "policy": 1.2, "memory": 3.9})
    assert asked.stored_gb == pytest.approx(100_000 * 8.64 * 365 * 11_000 * 2 / 1e9)
    gpu_s = (360 + 2_000) / 20_000 + (250 + 200) / 2_500
    assert asked.gpus == pytest.approx(50 * gpu_s / 0.5, abs=1)


def test_a_reply_takes_at_least_its_tokens() -> None:
    told = latency(plan(1_000_000, COSTS, BY), COSTS, BY)
    writing = BY.completion_tokens / BY.reply_tokens_s
    assert sum(told.turns_s) / len(told.turns_s) > writing
    assert told.used["gpu"] < 1 and told.used["cpu"] < 1


def test_this_machine_is_slower_under_load() -> None:
    calm, busy = on_this_machine(2, COSTS), on_this_machine(24, COSTS)
    assert calm.percentile(0.5) < busy.percentile(0.5)
    assert busy.used["cpu"] == pytest.approx(24 * COSTS.all_cpu_ms / 2_000, rel=0.05)


def test_figures_of_an_earlier_run(tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    file.write_text(json.dumps({"figures": {"costs": COSTS.model_dump()}}))
    assert Costs.load(file) == COSTS


def test_assumptions_by_name() -> None:
    assert assumed(["gpu_hour=1.5", "replies_at_once=8"]) == replace(BY, gpu_hour=1.5, replies_at_once=8)
    with pytest.raises(SystemExit, match="no assumption 'gpu'"):
        assumed(["gpu=1"])


def test_cpu_of_this_process_is_counted() -> None:
    before = cpu_seconds()
    while cpu_seconds()["other"] < before["other"] + 0.05:
        pass
