"""Where a user's memory lives: a pool of named actors, and the way from a user to the home actor."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import ray
from ray.actor import ActorHandle

from personavlm.memory_store import BusyError, MovedError, UserKey
from personavlm.memory_store.storage.layout import Layout
from personavlm.platform.config import Config

NAMESPACE = "personavlm"
RETRIES = 3
"""Every call may be repeated: reads change nothing, writes carry an id that makes them idempotent."""
PATIENCE_S = 5.0
"""How long a call waits for a user who is being moved or erased, before the client is asked to come back."""
PAUSE_S = 0.05


class MemoryPool:
    """Handles of all memory actors. Actors are started by whoever asks first and restart by themselves."""

    def __init__(self, actors: Sequence[ActorHandle]) -> None:
        self.actors = actors
        self._layout: Layout | None = None

    @classmethod
    def connect(cls, config: Config) -> MemoryPool:
        """Find the actors, or start them."""
        return cls([_actor(config, number) for number in range(config.memory.actors)])

    def home(self, user: UserKey) -> Home:
        """The one actor that reads and writes this user's memory."""
        return Home(self, user)

    def owner(self, shard: int) -> ActorHandle:
        """The actor that has this shard open."""
        return self.actors[shard % len(self.actors)]

    async def layout(self, *, anew: bool = False) -> Layout:
        """The map of buckets, asked of an actor: what stands in the storage is theirs to read."""
        if anew or self._layout is None:
            maps: list[Layout] = await asyncio.gather(*(actor.layout.remote() for actor in self.actors))
            self._layout = maps[0]
        return self._layout

    async def ready(self) -> None:
        """Return once every actor has opened its shards. Raises what kept one from it."""
        await asyncio.gather(*(actor.ready.remote() for actor in self.actors))

    async def gather(self, method: str, *args: object) -> list[Any]:
        """Call a method of every actor; their answers in order."""
        return list(await asyncio.gather(*(getattr(actor, method).remote(*args) for actor in self.actors)))

    def stop(self) -> None:
        """End all actors. What is stored stays; updates in work are repeated at the next start."""
        for actor in self.actors:
            ray.kill(actor)


class Home:
    """One user's home actor, wherever it is by now."""

    def __init__(self, pool: MemoryPool, user: UserKey) -> None:
        self._pool, self._user = pool, user

    async def call(self, method: str, *args: object) -> Any:  # noqa: ANN401 - whatever that method returns
        """Call a method of the actor with the user as first argument.

        Follows a user who has moved. Waits a little for one who is being moved or erased; then BusyError.
        """
        deadline = time.monotonic() + PATIENCE_S
        anew = False
        while True:
            layout = await self._pool.layout(anew=anew)
            actor = self._pool.owner(layout.shard_of(self._user))
            try:
                return await getattr(actor, method).remote(self._user, *args)
            except (BusyError, MovedError):
                if time.monotonic() >= deadline:
                    raise
            anew = True
            await asyncio.sleep(PAUSE_S)


def _actor(config: Config, number: int) -> ActorHandle:
    name = f"memory-{number}"
    try:
        return ray.get_actor(name, NAMESPACE)
    except ValueError:
        # Imported only by who starts the actors: replicas that talk to them need no LanceDB in their memory.
        from personavlm.deployments.memory_actor import MemoryActor

    return (
        ray.remote(MemoryActor)
        .options(
            name=name,
            namespace=NAMESPACE,
            get_if_exists=True,  # somebody else may have asked at the same moment
            lifetime="detached",
            num_cpus=config.memory.cpus_per_actor,
            max_restarts=-1,
            max_task_retries=RETRIES,
        )
        .remote(config, number)
    )
