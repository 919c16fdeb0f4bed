"""From what a turn costs to nodes, GPUs, storage and money for so many users, under stated assumptions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from math import ceil

from tests.benchmarks.capacity_parts.costs import Costs
from tests.benchmarks.capacity_parts.queueing import Load, Outcome, Simulation, Visit
from tests.benchmarks.capacity_parts.stations import Processors, Queue, Station

DAY_S, MONTH_H, GB = 86_400, 730, 1e9
SIMULATED = 20_000


@dataclass(frozen=True, slots=True)
class Assumptions:
    """Everything that is not measured. Prices are list prices in US dollars of a large cloud, to be replaced
    by one's own; throughputs are of a 7B model in bfloat16 on an H800 and were not measured here."""

    daily_active: float = 0.2
    """Share of the users who talk on a day."""
    turns_a_day: float = 10
    """Of each of them."""
    peak: float = 3
    """The busiest hour by the mean one."""
    used: float = 0.6
    """Share of processors and GPUs that the busiest hour may use; the rest is for bursts and lost nodes."""
    kept_days: float = 365
    copies: float = 2
    """Bytes in the bucket by bytes of the newest version: older versions, tables being joined, a backup."""
    turns_a_session: float = 5
    session_min: float = 60
    """How long a user stays in memory in a session and after it."""
    turns_cached: float = 500
    """Of each user in memory."""
    prefill_tokens_s: float = 20_000
    """Prompt tokens that a GPU computes in a second."""
    decode_tokens_s: float = 2_500
    """Tokens that a GPU writes in a second, over all replies that it works on."""
    reply_tokens_s: float = 40
    """Tokens a second of one reply."""
    replies_at_once: int = 64
    """Of a GPU."""
    cached_share: float = 0.7
    """Of the prompt tokens, those that the prefix cache has."""
    completion_tokens: float = 250
    """With thinking; the rules engine thinks in fewer words."""
    update_prompt_tokens: float = 2_000
    update_tokens: float = 200
    """Of the update stage, by turn."""
    together: float = 4
    """Turns of a shard that go into one commit in the busiest hour."""
    commits: float = 4
    """Of a turn and its update, were each committed alone."""
    cores_a_node: int = 32
    node_gb: float = 128
    gpus_a_node: int = 8
    rows_a_shard: float = 1e6
    """A table of the size that searches were measured with."""
    gpu_hour: float = 2.5
    node_hour: float = 1.4
    gb_month: float = 0.023
    puts_1000: float = 0.005
    gets_1000: float = 0.0004


MOST_SHARDS = 1024
ONE_CLUSTER_NODES = 2000
"""Nodes that Ray says one cluster was run with (its documentation, "Ray scalability envelope")."""


def assumed(changes: Sequence[str]) -> Assumptions:
    """The assumptions with some others, each ``name=value``. SystemExit for a name that there is not."""
    by = Assumptions()
    kinds = {field.name: type(getattr(by, field.name)) for field in fields(by)}
    for change in changes:
        name, _, value = change.partition("=")
        if name not in kinds:
            raise SystemExit(f"no assumption {name!r}; there are {', '.join(kinds)}")
        by = replace(by, **{name: kinds[name](float(value))})
    return by


@dataclass(frozen=True, slots=True)
class Plan:
    """What so many users need in the busiest hour, and what that costs by month."""

    users: float
    turns_s: float
    cores: Mapping[str, float]
    cpu_nodes: int
    gpus: int
    memory_gb: float
    stored_gb: float
    shards: int
    puts_s: float
    monthly: Mapping[str, float]
    limits: Mapping[str, float]
    """Hard limits of one cluster and store, as the share of each that is taken."""

    @property
    def bottleneck(self) -> tuple[str, float]:
        """The limit that is met first as users grow, and how much of it is taken."""
        return max(self.limits.items(), key=lambda limit: limit[1])


def gpu_s(costs: Costs, by: Assumptions) -> tuple[float, float]:
    """Seconds of a GPU that a turn takes, and its update: prompts that are new, and tokens written."""
    new = costs.prompt_tokens * (1 - by.cached_share)
    turn = new / by.prefill_tokens_s + by.completion_tokens / by.decode_tokens_s
    return turn, by.update_prompt_tokens / by.prefill_tokens_s + by.update_tokens / by.decode_tokens_s


def plan(users: float, costs: Costs, by: Assumptions) -> Plan:
    """For ``users`` registered users."""
    mean = users * by.daily_active * by.turns_a_day / DAY_S
    peak = mean * by.peak
    cores = {role: peak * ms / 1e3 / by.used for role, ms in _by_role(costs).items()}
    gpus = ceil(peak * sum(gpu_s(costs, by)) / by.used)
    in_memory = min(peak / by.turns_a_session * by.session_min * 60, users * by.daily_active)
    memory_gb = in_memory * by.turns_cached * costs.cached_bytes / GB
    turns_kept = users * by.daily_active * by.turns_a_day * by.kept_days
    stored_gb = turns_kept * costs.stored_bytes * by.copies / GB
    nodes = max(ceil(sum(cores.values()) / by.cores_a_node), ceil(memory_gb / (by.node_gb * by.used)), 1)
    shards = ceil(turns_kept * costs.rows / by.rows_a_shard)
    puts_s = peak * costs.puts / by.together
    commits_s = peak * by.commits / by.together / min(shards, MOST_SHARDS)
    monthly = {
        "GPUs": gpus * by.gpu_hour * MONTH_H,
        "nodes": nodes * by.node_hour * MONTH_H,
        "stored": stored_gb * by.gb_month,
        "requests": mean * 3600 * MONTH_H / 1000 * (
            costs.puts * by.puts_1000 + costs.gets * by.gets_1000
        ) / by.together,
    }  # fmt: skip
    limits = {
        "shards of one store": shards / MOST_SHARDS,
        "commits of one shard": commits_s * costs.commit_s,
        "nodes of one Ray cluster": (nodes + ceil(gpus / by.gpus_a_node)) / ONE_CLUSTER_NODES,
    }
    return Plan(
        users, peak, cores, nodes, gpus, memory_gb, stored_gb, shards, puts_s, monthly, limits
    )  # fmt: skip


def _by_role(costs: Costs) -> Mapping[str, float]:
    """CPU milliseconds of a turn by group of nodes; its client is not ours to pay for."""
    return {
        "ingress": costs.cpu_ms["ingress"],
        "policy": costs.cpu_ms["policy"],
        "memory": costs.cpu_ms["memory"] + costs.update_cpu_ms,
    }


def latency(asked: Plan, costs: Costs, by: Assumptions) -> Outcome:
    """Turns of one cell of the plan in its busiest hour: a GPU, and its share of the processors.

    A reply's tokens come at the pace of one reply, whatever else the GPU writes; what queues is a place among
    ``replies_at_once``. Users keep to their replica, so cells do not share their queues.
    """
    rate = asked.turns_s / asked.gpus
    cores = max(1, round(sum(asked.cores.values()) / asked.gpus))
    stations: dict[str, Station] = {
        "cpu": Processors(cores),
        "gpu": Queue(by.replies_at_once),
        "commit": Queue(math.inf),
    }
    new = costs.prompt_tokens * (1 - by.cached_share) / by.prefill_tokens_s
    writing = Visit("gpu", new + by.completion_tokens / by.reply_tokens_s, 0.5)
    role = _by_role(costs)
    turn = (
        Visit("cpu", role["ingress"] / 1e3, 0.5),
        Visit("cpu", role["policy"] / 1e3, 0.5),
        Visit("cpu", costs.cpu_ms["memory"] / 1e3, 0.5),
        writing,
        Visit("commit", costs.commit_s, 0.5),
    )
    update = (
        Visit(
            "gpu", by.update_prompt_tokens / by.prefill_tokens_s + by.update_tokens / by.reply_tokens_s, 0.5
        ),
        Visit("cpu", costs.update_cpu_ms / 1e3, 0.5),
        Visit("commit", 3 * costs.commit_s, 0.5),
    )
    return Simulation(stations, Load(rate, turn, update), SIMULATED).run()


def on_this_machine(rate: float, costs: Costs) -> Outcome:
    """The measured service at a rate: all roles, Ray, and the clients on the same processors.

    A turn's processes work at once, so it may take more CPU than time when nobody else talks. What fits into
    that time is its own way, and what is over is made beside it. Where all fits, the rest of the time is a
    delay that no load changes.
    """
    cpu = sum(costs.cpu_ms.values()) / 1e3
    waited_for = min(cpu, costs.alone_s)
    load = Load(
        rate,
        turn=(Visit("cpu", waited_for, 0.5), Visit("elsewhere", costs.alone_s - waited_for, 0.5)),
        update=(Visit("cpu", costs.update_cpu_ms / 1e3, 0.5),),
        beside=(Visit("cpu", cpu - waited_for, 0.5),),
    )
    return Simulation({"cpu": Processors(costs.cores), "elsewhere": Queue(math.inf)}, load, SIMULATED).run()
