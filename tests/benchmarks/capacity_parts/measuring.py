"""What a turn costs, measured through the real service with the rules engine on this machine."""

from __future__ import annotations

import asyncio
import os
import random
import statistics
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

import httpx

from tests.benchmarks.capacity_parts.costs import ROLES, Costs, Point

if TYPE_CHECKING:  # LanceDB does not like the forks that start Ray
    from personavlm.deployments.memory_pool import MemoryPool
    from personavlm.memory_store.lifecycle.stats import StoreStats

MARKS = {"ingress": ":ingress", "policy": ":policy", "memory": "MemoryActor"}
"""What the names of the processes of each role hold; all other processes below ours are ``other``."""
TICK_S = 1 / os.sysconf("SC_CLK_TCK")
SAID = (
    "I went climbing with my friend Jonas again.",
    "My sister Ana lives in Porto.",
    "Where does my sister live?",
    "I switched from cappuccino to matcha.",
    "What do I like to drink?",
    "Remind me of my last climb.",
)


class Clients:
    """Users who talk to the service."""

    def __init__(self, client: httpx.AsyncClient, users: int) -> None:
        self._client, self._users = client, [f"user-{number}" for number in range(users)]
        self._said: Counter[str] = Counter()
        self.tokens: list[tuple[int, int, int]] = []
        """Of each reply: prompt, cached prompt, completion."""

    async def turn(self, user: str) -> float:
        """Seconds of one turn as the client sees it."""
        number = self._said[user]
        self._said[user] += 1
        message = {"role": "user", "content": f"{SAID[number % len(SAID)]} ({number})"}
        began = perf_counter()
        reply = await self._client.post(
            "/v1/chat/completions", json={"model": "rules", "user": user, "messages": [message]}
        )
        seconds = perf_counter() - began
        usage = reply.raise_for_status().json()["usage"]
        cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens", 0)
        self.tokens.append((usage["prompt_tokens"], cached, usage["completion_tokens"]))
        return seconds

    async def one_by_one(self, turns: int) -> list[float]:
        """Turns that never meet."""
        return [await self.turn(self._users[number % len(self._users)]) for number in range(turns)]

    async def at_rate(self, rate: float, turns: int, seed: int) -> list[float]:
        """So many turns a second, at random times, whoever is still waiting."""
        chance, running = random.Random(seed), []
        for number in range(turns):
            running.append(asyncio.create_task(self.turn(self._users[number % len(self._users)])))
            await asyncio.sleep(chance.expovariate(rate))
        return await asyncio.gather(*running)

    async def caught_up(self) -> None:
        """Return once the updates of all users were made."""
        for user in self._users:
            body = {"now": "2100-01-01T00:00:00Z"}
            (await self._client.post(f"/v1/users/{user}/sessions/close", json=body)).raise_for_status()


async def measure(url: str, key: str, pool: MemoryPool, turns: int) -> Costs:
    """Costs of a turn, and latencies at a few rates that the machine can bear."""
    headers = {"Authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=300) as http:
        clients = Clients(http, users=16)
        await clients.one_by_one(32)  # loads everything
        await clients.caught_up()
        clients.tokens.clear()
        alone, answering = await _spent(lambda: clients.one_by_one(turns))
        _, updating = await _spent(clients.caught_up)
        tokens = [statistics.fmean(column) for column in zip(*clients.tokens, strict=True)]
        cpu = {role: 1e3 * answering[role] / turns for role in (*ROLES, "other")}
        update = 1e3 * sum(updating.values()) / turns
        cores = len(os.sched_getaffinity(0))
        most = 1e3 * cores / (sum(cpu.values()) + update)
        points = [await _point(clients, share * most, turns) for share in (0.3, 0.5, 0.7)]
        sizes = await _sizes(pool)
    from tests.benchmarks.capacity_parts.requests_counted import asked_of_storage

    asked = await asyncio.to_thread(asked_of_storage)
    return Costs(
        cores=cores,
        cpu_ms=cpu,
        update_cpu_ms=update,
        alone_s=statistics.median(alone),
        **sizes,
        prompt_tokens=tokens[0],
        cached_prompt_tokens=tokens[1],
        completion_tokens=tokens[2],
        puts=asked.puts,
        gets=asked.gets,
        commit_s=asked.commit_s,
        points=points,
    )


async def _point(clients: Clients, rate: float, turns: int) -> Point:
    seconds = sorted(await clients.at_rate(rate, turns, seed=int(1000 * rate)))
    await clients.caught_up()
    return Point(rate=rate, p50_s=statistics.median(seconds), p95_s=seconds[int(0.95 * len(seconds))])


async def _spent(
    work: Callable[[], Awaitable[list[float] | None]],
) -> tuple[list[float], Mapping[str, float]]:
    """What the work returns, and by role the seconds of CPU that it took."""
    before = cpu_seconds()
    result = await work()
    after = cpu_seconds()
    return result or [], {role: after[role] - before[role] for role in after}


def cpu_seconds() -> dict[str, float]:
    """Seconds of CPU that this process and all below it have used, by role."""
    parents, used = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            name = (folder / "cmdline").read_text().split("\0")[0]
        except OSError:  # it has ended
            continue
        pid = int(folder.name)
        parents[pid] = int(fields[1])
        used[pid] = (name, (int(fields[11]) + int(fields[12])) * TICK_S)
    total = dict.fromkeys((*ROLES, "other"), 0.0)
    for pid, (name, seconds) in used.items():
        if _below_us(pid, parents):
            total[next((role for role, mark in MARKS.items() if mark in name), "other")] += seconds
    return total


def _below_us(pid: int, parents: Mapping[int, int]) -> bool:
    while pid not in (0, 1, os.getpid()):
        pid = parents.get(pid, 0)
    return pid == os.getpid()


async def _sizes(pool: MemoryPool) -> dict[str, float]:
    """By turn: bytes in the newest versions of the tables with the journal, rows of the largest table, and
    bytes in memory."""
    answers: list[dict[int, StoreStats]] = await pool.gather("stats")
    shards = [stats for answer in answers for stats in answer.values()]
    turns = sum(stats.rows["turns"] for stats in shards)
    stored = sum(sum(stats.bytes.values()) + stats.tail_bytes for stats in shards)
    rows = max(sum(stats.rows[table] for stats in shards) for table in shards[0].rows)
    return {
        "stored_bytes": stored / turns,
        "rows": rows / turns,
        "cached_bytes": sum(stats.cached_bytes for stats in shards) / turns,
    }
