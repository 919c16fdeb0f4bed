"""What happens to memory when parts of a Ray cluster are lost under load, told as JSON.

Run as a process of its own by `test_cluster_loss`, with a folder for the stores and a file for the report.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import ray
from ray.cluster_utils import Cluster

from personavlm.deployments.memory_moves import Mover
from personavlm.deployments.memory_pool import NAMESPACE, PASSING, MemoryPool
from personavlm.deployments.store_root import store_root
from personavlm.memory_store import Turn, TurnDraft, UserKey, Window
from personavlm.memory_store.storage.fence import KEY as EPOCH
from personavlm.memory_store.storage.layout import LayoutFile
from personavlm.memory_store.storage.objects import open_objects
from personavlm.memory_store.storage.shard import UNFINISHED
from personavlm.platform.config import Config

USERS = [UserKey("tenant", f"user-{number}") for number in range(6)]
BEFORE, AFTER = 3, 3
"""Turns of each user before the loss, and after the first call that succeeded again."""
SHARD = re.compile(r'shard="(\d+)"')


class Talk:
    """Users who append turns one after another, each until it is stored, and note what went wrong."""

    def __init__(self, pool: MemoryPool) -> None:
        self._pool = pool
        self.stored: dict[UserKey, list[str]] = {user: [] for user in USERS}
        self.errors: set[str] = set()
        self.longest = 0.0
        self._over = False

    async def during(self, loss: Callable[[], Awaitable[None]]) -> None:
        """Talk before, while and after something is lost."""
        self._over = False
        talking = [asyncio.create_task(self._talk(user)) for user in USERS]
        for user in USERS:
            await self._at_least(user, BEFORE)
        await loss()
        for user in USERS:
            await self._at_least(user, AFTER)
        self._over = True
        await asyncio.gather(*talking)

    async def _at_least(self, user: UserKey, more: int) -> None:
        wanted = len(self.stored[user]) + more
        while len(self.stored[user]) < wanted:
            await asyncio.sleep(0.02)

    async def _talk(self, user: UserKey) -> None:
        while not self._over:
            number = len(self.stored[user])
            draft = TurnDraft(f"turn {number}", "ok", client_id=str(number))
            self.stored[user].append(await self._store(user, draft))

    async def _store(self, user: UserKey, draft: TurnDraft) -> str:
        began = time.monotonic()
        turn: Turn = await self._persevere(user, "append_turn", draft)
        self.longest = max(self.longest, time.monotonic() - began)
        return turn.id

    async def _persevere(self, user: UserKey, method: str, *args: object) -> Any:  # noqa: ANN401
        """As a client does: again, after an error that passes."""
        while True:
            try:
                return await self._pool.home(user).call(method, *args)
            except PASSING as error:
                self.errors.add(type(getattr(error, "cause", error)).__name__)

    async def report(self) -> dict[str, Any]:
        """Whether what is stored is what was acknowledged, in order and nothing twice."""
        wrong = []
        for user in USERS:
            entries = await self._persevere(user, "timeline", Window(), 100_000)
            turns = [entry for entry in reversed(entries) if entry.kind == "turn"]
            if [turn.id for turn in turns] != self.stored[user]:
                wrong.append(f"{user.user}: stored {len(turns)}, acknowledged {len(self.stored[user])}")
            elif [turn.text for turn in turns] != [f"turn {number}" for number in range(len(turns))]:
                wrong.append(f"{user.user}: out of order")
        report = {"wrong": wrong, "errors": sorted(self.errors), "longest_s": round(self.longest, 2)}
        self.errors, self.longest = set(), 0.0
        return report


class Scenarios:
    """One cluster of a head and two nodes, and two memory actors on the nodes."""

    def __init__(self, folder: str) -> None:
        head = {"num_cpus": 0, "include_dashboard": False}
        self.cluster = Cluster(initialize_head=True, head_node_args=head)
        self.nodes = [self.cluster.add_node(num_cpus=1) for _ in range(2)]
        ray.init(
            address=self.cluster.address, namespace=NAMESPACE, log_to_driver=False, logging_level="ERROR"
        )
        memory = {"uri": folder, "shards": 2, "actors": 2, "cpus_per_actor": 0.5, "maintenance_s": 1}
        self.config = Config.model_validate({"memory": memory})
        self.pool = MemoryPool.connect(self.config)
        self.talk = Talk(self.pool)

    async def kill_actor(self) -> None:
        """Ray ends an actor's process and starts it anew."""
        ray.kill(self.pool.actors[0], no_restart=False)

    async def kill_processes(self) -> None:
        """`kill -9` for both at once."""
        for pid in _memory_processes():
            os.kill(pid, signal.SIGKILL)

    async def lose_storage(self) -> None:
        """A shard cannot be opened when its home restarts, nor when it does so again; then it can."""
        hindrance = Path(self.config.memory.uri) / "shard-0000" / UNFINISHED
        hindrance.touch()
        restarts = self._first_actor()["NumRestarts"]
        ray.kill(self.pool.actors[0], no_restart=False)
        while self._first_actor()["NumRestarts"] < restarts + 3:
            await asyncio.sleep(0.05)
        hindrance.unlink()

    def _first_actor(self) -> dict[str, Any]:
        state: dict[str, Any] = ray._private.state.actors(self.pool.actors[0]._actor_id.hex())
        return state

    async def lose_node(self) -> None:
        """A node with an actor is gone, with everything on it."""
        home = self._first_actor()["Address"]["NodeID"]
        lost = next(node for node in self.nodes if node.node_id == home)
        self.cluster.remove_node(lost, allow_graceful=False)

    async def lose_epoch(self) -> None:
        """Another writer has taken the next epoch of a shard: its home must end, to be started anew."""
        objects = open_objects(f"{self.config.memory.uri}/shard-0000")
        stored, version = objects.get_versioned(EPOCH)
        taken = json.loads(stored)
        objects.replace(EPOCH, json.dumps({**taken, "epoch": taken["epoch"] + 1}).encode(), version)

    async def grow(self) -> None:
        """Another shard, while an actor is killed once more."""
        mover = Mover(self.pool, LayoutFile(store_root(self.config.memory)))
        growing = asyncio.create_task(mover.grow(3))
        await asyncio.sleep(0.5)  # waits for nothing: it picks the point of the kill
        ray.kill(self.pool.actors[1], no_restart=False)
        await growing

    async def metrics(self) -> list[str]:
        """Shards of which some node's metrics tell the number of users."""
        names = set[str]()
        while len(names) < 3:
            for node in ray.nodes():
                if node["Alive"]:
                    names |= await asyncio.to_thread(_metrics, node["MetricsExportPort"])
        return sorted(names)


def _metrics(port: int) -> set[str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as reply:
            lines = reply.read().decode().splitlines()
    except urllib.error.URLError:  # of a node that has ended, which Ray does not know yet
        return set()
    return {shard for line in lines if "personavlm_store_users{" in line for shard in SHARD.findall(line)}


def _memory_processes() -> list[int]:
    """Processes of memory actors below this one."""
    listing = subprocess.run(["ps", "-eo", "pid=,ppid=,args="], text=True, capture_output=True, check=True)
    rows = [line.split(maxsplit=2) for line in listing.stdout.splitlines()]
    parent = {int(pid): int(ppid) for pid, ppid, *_ in rows}
    found = []
    for pid in (int(row[0]) for row in rows if row[-1].startswith("ray::MemoryActor")):
        ancestor = pid
        while ancestor not in (0, os.getpid()):
            ancestor = parent.get(ancestor, 0)
        if ancestor:
            found.append(pid)
    return found


async def run(folder: str) -> dict[str, Any]:
    """Every loss in turn, with what was seen of each."""
    scenarios = Scenarios(folder)
    await scenarios.pool.ready()
    report: dict[str, Any] = {}
    for loss in (
        scenarios.kill_actor,
        scenarios.kill_processes,
        scenarios.lose_storage,
        scenarios.lose_epoch,
        scenarios.grow,
        scenarios.lose_node,
    ):
        await scenarios.talk.during(loss)
        report[loss.__name__] = await scenarios.talk.report()
        print(loss.__name__, report[loss.__name__], file=sys.stderr, flush=True)
    report["metrics"] = await scenarios.metrics()
    ray.shutdown()
    scenarios.cluster.shutdown()
    return report


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(json.dumps(asyncio.run(run(sys.argv[1]))), encoding="utf-8")
