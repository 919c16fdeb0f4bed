"""What `personavlm doctor` looks at in the Ray cluster and in the service that runs there."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import ray
from ray import serve
from ray.exceptions import RayActorError
from ray.serve.schema import ApplicationStatus

from personavlm.deployments import preflight
from personavlm.deployments.findings import Finding, ok, warning, wrong
from personavlm.deployments.local_ray import reach, running_address
from personavlm.deployments.memory_pool import NAMESPACE, MemoryPool
from personavlm.deployments.policy_engine import APP
from personavlm.platform.config import Config

PATIENCE_S = 20.0
LONG_LAG_S = 600.0
START = "`personavlm serve --config FILE` starts it"


def cluster(config: Config) -> Iterator[Finding]:
    """Findings of the cluster; nothing is started or stopped."""
    address = config.ray_address or running_address(config.memory.uri)
    if address is None:
        yield ok("Ray cluster", "none runs here; `personavlm serve` starts one of its own")
        return
    try:
        reach(address)
        ray.init(address=address, namespace=NAMESPACE, log_to_driver=False, logging_level="ERROR")
    except (OSError, RuntimeError, ValueError) as error:
        yield wrong(
            "Ray cluster",
            f"{address}: {str(error).splitlines()[0]}",
            "check ray_address, the head (`ray status`), and RAY_AUTH_MODE or its token on both sides",
        )
        return
    try:
        yield _nodes(address)
        running = serve.status().applications.get(APP)
        yield _service(running)
        if (pool := MemoryPool.running(config)) is None:
            yield _room(config)
        else:
            yield from asyncio.run(_memory(pool))
    finally:
        ray.shutdown()


def _nodes(address: str) -> Finding:
    nodes = ray.nodes()
    dead = [node["NodeName"] for node in nodes if not node["Alive"]]
    alive = [node["Resources"] for node in nodes if node["Alive"]]
    gpus = sum(node.get("GPU", 0) for node in alive)
    found = f"{address}: {len(alive)} nodes alive, {gpus:g} GPUs"
    if dead:
        return warning(
            "Ray cluster",
            f"{found}; lost: {', '.join(dead)}",
            "nothing, if they were taken away or replaced; else look at their last log lines",
        )
    return ok("Ray cluster", found)


def _service(running: Any) -> Finding:  # noqa: ANN401 - Serve's overview of an application, or None
    if running is None:
        return warning("service", "the cluster runs no service", START)
    unwell = [
        f"{name}: {part.status.value} {part.message}".strip()
        for name, part in running.deployments.items()
        if part.status.value != "HEALTHY"
    ]
    if running.status != ApplicationStatus.RUNNING or unwell:
        return wrong(
            "service",
            f"{running.status.value}; {'; '.join(unwell) or running.message}",
            "the message names the cause; a replica that waits for resources is shown by `ray status`",
        )
    return ok("service", "running, all deployments healthy")


def _room(config: Config) -> Finding:
    asked, nodes = preflight.parts(config), preflight.nodes_when_empty()
    if missing := preflight.lacking(asked, nodes):
        return wrong(
            "room",
            f"no room for {', '.join(missing)}",
            "add nodes or ask for less; with an autoscaler, set policy.wait_for_nodes",
        )
    return ok("room", "the cluster has room for what the configuration asks for")


async def _memory(pool: MemoryPool) -> list[Finding]:
    try:
        stats = await asyncio.wait_for(pool.gather("stats"), PATIENCE_S)
        progress = await asyncio.wait_for(pool.gather("update_progress"), PATIENCE_S)
    except (TimeoutError, RayActorError) as error:
        reason = str(error).splitlines()[0] if str(error) else f"no answer within {PATIENCE_S:g} s"
        return [
            wrong(
                "memory actors",
                reason,
                "they restart by themselves; if not, their log says what keeps a shard from opening",
            )
        ]
    shards = {number: shard for answer in stats for number, shard in answer.items()}
    return [_tails(shards), _updates(progress)]


def _tails(shards: dict[int, Any]) -> Finding:
    failing = [
        f"shard {number}: {shard.tail_failure}" for number, shard in shards.items() if shard.tail_failure
    ]
    rows = sum(shard.tail_rows for shard in shards.values())
    if failing:
        return wrong(
            "memory actors",
            f"rows cannot be moved from the journal into the tables: {'; '.join(failing)}",
            "mostly a full or broken disk: free space; nothing acknowledged is lost meanwhile",
        )
    return ok("memory actors", f"{len(shards)} shards open, {rows:,} rows wait in journals")


def _updates(progress: list[Any]) -> Finding:
    users, failures = sum(each.users for each in progress), sum(each.failures for each in progress)
    lag = max((each.lag_s for each in progress), default=0.0)
    found = f"{users} users wait, the oldest for {lag:.0f} s; {failures} attempts failed since the start"
    if lag > LONG_LAG_S:
        return warning(
            "updates",
            found,
            "the log says why attempts fail; else give the update stage more room: engine.update_slots, "
            "more policy replicas, more memory.actors",
        )
    return ok("updates", found)
