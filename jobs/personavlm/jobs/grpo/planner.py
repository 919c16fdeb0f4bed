"""What of the cluster a run needs, all of it known before anything starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.table import Table

from personavlm.jobs.grpo.config import GrpoConfig
from personavlm.platform.errors import CommandError

Resources = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Need:
    """``count`` processes, each of which must find its ``resources`` on one node."""

    what: str
    count: int
    resources: Resources


def needs(config: GrpoConfig) -> list[Need]:
    """Of a run: its rollout workers and its learners. The controller needs next to nothing."""
    rollouts, strategy = config.rollouts, config.learner.strategy
    gpus = {"GPU": rollouts.gpus_per_worker} if rollouts.gpus_per_worker else {}
    learner = {"CPU": float(strategy.cpus_per_worker)} | ({"GPU": 1.0} if strategy.device == "cuda" else {})
    return [
        Need("learner", strategy.workers, learner),
        Need("rollout worker", rollouts.workers, {"CPU": rollouts.cpus_per_worker} | gpus),
    ]


def table_of(asked: Sequence[Need], nodes: Mapping[str, Resources]) -> Table:
    """Asked, and available on each node."""
    table = Table("", "processes", "CPU", "GPU", title="placement: asked, and available")
    for need in asked:
        each = (f"{need.count} x {need.resources.get(name, 0):g}" for name in ("CPU", "GPU"))
        table.add_row(need.what, str(need.count), *each)
    table.add_section()
    for node, free in nodes.items():
        table.add_row(f"node {node}", "", *(f"{free.get(name, 0):g}" for name in ("CPU", "GPU")))
    return table


def require_room(asked: Sequence[Need], nodes: Mapping[str, Resources]) -> None:
    """Raises `CommandError` where the processes do not fit, largest first, each on a node with room."""
    left = {node: dict(free) for node, free in nodes.items()}
    for need in sorted(asked, key=lambda one: (-one.resources.get("GPU", 0), -one.resources.get("CPU", 0))):
        for number in range(need.count):
            free = next((one for one in left.values() if _fits(need.resources, one)), None)
            if free is None:
                wanted = ", ".join(f"{amount:g} {name}" for name, amount in need.resources.items())
                raise CommandError(
                    f"{need.what} {number + 1} of {need.count} needs {wanted} on one node, and none has that "
                    "left (see the table); lower rollouts.workers, learner.strategy.workers or what each "
                    "takes, or add nodes"
                )
            for name, amount in need.resources.items():
                free[name] -= amount


def _fits(wanted: Resources, free: Resources) -> bool:
    return all(free.get(name, 0) >= amount for name, amount in wanted.items())
