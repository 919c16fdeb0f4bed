"""Before anything is started: what the service asks for against what the cluster has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import ray

from personavlm.platform.config import Config

Resources = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Part:
    """``count`` processes, each of which takes ``each`` of one node."""

    name: str
    count: int
    each: Resources


def parts(config: Config) -> list[Part]:
    """Everything that the service starts. Of replicas that scale, the least."""
    memory, service = config.memory, config.service
    return [
        Part("memory actors", memory.actors, {"CPU": memory.cpus_per_actor, **memory.resources}),
        Part("ingress", service.ingress_replicas, {"CPU": service.cpus_per_replica, **service.resources}),
        policy_part(config, config.policy.least_replicas),
    ]


def policy_part(config: Config, count: int) -> Part:
    """So many policy replicas."""
    policy = config.policy
    return Part("policy", count, {"CPU": policy.cpus, "GPU": policy.gpus, **policy.resources})


def free_on_nodes() -> list[Resources]:
    """What each living node has left."""
    from ray._private.state import available_resources_per_node  # Ray has no public way to ask this

    return list(available_resources_per_node().values())


def nodes_when_empty() -> list[Resources]:
    """What each living node has when nothing runs on it."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def lacking(asked: Sequence[Part], nodes: Sequence[Resources]) -> list[str]:
    """The names of the parts that find no place: each process on one node, large ones first."""
    left = [dict(node) for node in nodes]
    processes = [(part.name, part.each) for part in asked for _ in range(part.count)]
    names = []
    for name, each in sorted(processes, key=lambda process: -_size(process[1])):
        fitting = [node for node in left if all(node.get(kind, 0) >= n for kind, n in each.items() if n)]
        if not fitting:
            names.append(name)
            continue
        for kind, amount in each.items():
            fitting[0][kind] = fitting[0].get(kind, 0) - amount
    return list(dict.fromkeys(names))


def _size(each: Resources) -> float:
    """What is rarest counts most: custom resources and GPUs before CPUs."""
    return sum(amount * (1 if kind == "CPU" else 1000) for kind, amount in each.items())


def table(asked: Sequence[Part], nodes: Sequence[Resources]) -> str:
    """A row for each part, then what is asked for and what is free; a column for each resource."""
    kinds = [
        kind
        for kind in dict.fromkeys(chain(["CPU", "GPU"], *(part.each for part in asked)))
        if kind in ("CPU", "GPU") or any(part.each.get(kind) for part in asked)
    ]
    rows = [["part", "count", *kinds]]
    rows += [[p.name, str(p.count), *(f"{p.count * p.each.get(kind, 0):g}" for kind in kinds)] for p in asked]
    total = [sum(part.count * part.each.get(kind, 0) for part in asked) for kind in kinds]
    free = [sum(node.get(kind, 0) for node in nodes) for kind in kinds]
    rows.append(["asked for", "", *(f"{amount:g}" for amount in total)])
    rows.append([f"free, on {len(nodes)} node{'s' * (len(nodes) != 1)}", "", *(f"{n:g}" for n in free)])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) if column == 0 else cell.rjust(width)
                  for column, (cell, width) in enumerate(zip(row, widths, strict=True)))
        for row in rows
    )  # fmt: skip
