"""Where a user's memory lives: a pool of named actors, and the way from a user to the home actor."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence

import ray
from ray.actor import ActorHandle

from personavlm.memory_store import UserKey
from personavlm.platform.config import Config

NAMESPACE = "personavlm"
RETRIES = 3
"""Every call may be repeated: reads change nothing, writes carry an id that makes them idempotent."""


def home_shard(user: UserKey, shards: int) -> int:
    """The shard of a user: the same on every machine and in every release."""
    name = f"{len(user.tenant)}:{user.tenant}{user.user}".encode()
    return int.from_bytes(hashlib.sha256(name).digest()[:8]) % shards


class MemoryPool:
    """Handles of all memory actors. Actors are started by whoever asks first and restart by themselves."""

    def __init__(self, actors: Sequence[ActorHandle]) -> None:
        self._actors = actors

    @classmethod
    def connect(cls, config: Config) -> MemoryPool:
        """Find the actors, or start them."""
        return cls([_actor(config, shard) for shard in range(config.memory.shards)])

    def home(self, user: UserKey) -> ActorHandle:
        """The one actor that reads and writes this user's memory."""
        return self._actors[home_shard(user, len(self._actors))]

    async def ready(self) -> None:
        """Return once every actor has opened its shard. Raises what kept one from it."""
        await asyncio.gather(*(actor.ready.remote() for actor in self._actors))

    def stop(self) -> None:
        """End all actors. What is stored stays; updates in work are repeated at the next start."""
        for actor in self._actors:
            ray.kill(actor)


def _actor(config: Config, shard: int) -> ActorHandle:
    name = f"memory-{shard}"
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
        .remote(config, shard)
    )
