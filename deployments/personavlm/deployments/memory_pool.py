"""Where a user's memory lives: a pool of named actors, and the way from a user to the home actor."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeVar

import ray
from ray.actor import ActorHandle
from ray.exceptions import ObjectLostError, RayActorError

from personavlm.deployments import tracing
from personavlm.deployments.origins import Origin
from personavlm.memory_store import BusyError, LostEpochError, MovedError, UserKey
from personavlm.memory_store.storage.layout import Layout
from personavlm.platform.config import Config

if TYPE_CHECKING:  # or replicas would load LanceDB
    from personavlm.memory_store.lifecycle.erasure import Receipt

T = TypeVar("T")

NAMESPACE = "personavlm"
RETRIES = 3
"""Every call may be repeated: reads change nothing, writes carry an id that makes them idempotent."""
PATIENCE_S = 5.0
"""How long a call waits for a user who is being moved or erased, or for an actor that comes back, before the
client is asked to come back itself."""
PAUSE_S = 0.05
PASSING = (BusyError, MovedError, LostEpochError, RayActorError, ObjectLostError)
"""Errors after which the same call, to whoever is the home by then, may succeed."""


class MemoryPool:
    """Handles of all memory actors. Actors are started by whoever asks first and restart by themselves."""

    def __init__(self, find: Callable[[], Sequence[ActorHandle]]) -> None:
        self._find = find
        self._layout: Layout | None = None

    @cached_property
    def actors(self) -> Sequence[ActorHandle]:
        """All of them, in the order of their numbers."""
        return self._find()

    @classmethod
    def connect(cls, config: Config) -> MemoryPool:
        """Finds the actors, or starts them, when they are first needed.

        Not before: a cluster that is to follow another one takes the store from it by starting them.
        """
        return cls(lambda: [_actor(config, number) for number in range(config.memory.actors)])

    @classmethod
    def running(cls, config: Config) -> MemoryPool | None:
        """The actors that run already; None where they do not."""
        try:
            actors = [ray.get_actor(_name(number), NAMESPACE) for number in range(config.memory.actors)]
        except ValueError:  # there is no actor of that name
            return None
        return cls(lambda: actors)

    def home(self, user: UserKey) -> Home:
        """The one actor that reads and writes this user's memory."""
        return Home(self, user)

    def owner(self, shard: int) -> ActorHandle:
        """The actor that has this shard open."""
        return self.actors[shard % len(self.actors)]

    async def layout(self, *, anew: bool = False) -> Layout:
        """The map of buckets, asked of the actors: what stands in the storage is theirs to read.

        Whoever answers first is believed, so that one that restarts holds up none but its own users.
        """
        known = self._layout
        if anew or known is None:
            answer: Layout = await _first([actor.layout.remote() for actor in self.actors])
            self._layout = known = answer
        return known

    async def ready(self) -> None:
        """Return once every actor has opened its shards. Raises what kept one from it."""
        await asyncio.gather(*(actor.ready.remote() for actor in self.actors))

    async def gather(self, method: str, *args: object) -> list[Any]:
        """Call a method of every actor; their answers in order."""
        return list(await asyncio.gather(*(getattr(actor, method).remote(*args) for actor in self.actors)))

    async def ask(self, shard: int, method: str, *args: object) -> Any:  # noqa: ANN401 - as that method returns
        """Call a method of the actor that has the shard open, with the shard as first argument."""
        return await getattr(self.owner(shard), method).remote(shard, *args)

    async def at_home(self, user: UserKey, method: str, *args: object) -> Any:  # noqa: ANN401 - the same
        """Call a method of the user's home actor, with the user as first argument. See ``Home.call``."""
        return await self.home(user).call(method, *args)

    async def hand_over(self, user: UserKey, old: int, new: int) -> None:
        """Carry a user's archive from one shard to another, past this process."""
        archive = self.owner(old).take_out.remote(old, user)
        await self.owner(new).take_in.remote(new, user, archive)

    async def erase_tenant(self, tenant: str) -> list[Receipt]:
        """Everything of a tenant in all shards. BusyError while, or because, users moved meanwhile."""
        before = await self.gather("layout")
        receipts = await self.gather("erase_tenant", tenant)
        if await self.gather("layout") != before:  # somebody may have moved past the erasure
            raise BusyError("memory was moving between shards; erase the tenant again")
        return list(chain.from_iterable(receipts))

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

        Follows a user who has moved. Waits a little for one who is being moved or erased, and for an actor
        that restarts; then raises one of ``PASSING``.
        """
        anew = False
        origin = tracing.origin()

        async def attempt() -> Any:  # noqa: ANN401
            nonlocal anew
            layout = await self._pool.layout(anew=anew)
            anew = True
            actor = self._pool.owner(layout.shard_of(self._user))
            try:
                return await _call(actor, origin, method, self._user, *args)
            except LostEpochError:
                await actor.step_down.remote()  # or it would refuse for ever
                return await _call(actor, origin, method, self._user, *args)

        with tracing.span(f"memory.{method}"):
            return await patiently(attempt)


def _call(actor: ActorHandle, origin: Origin, method: str, user: UserKey, *args: object) -> Awaitable[Any]:
    if origin.request_id:
        return actor.on_behalf.remote(origin, method, user, *args)
    return getattr(actor, method).remote(user, *args)


async def patiently(
    attempt: Callable[[], Awaitable[T]],
    errors: tuple[type[Exception], ...] = PASSING,
    wait_s: float = PATIENCE_S,
) -> T:
    """Repeat what fails for a passing reason; after ``wait_s`` seconds its error is raised."""
    deadline = time.monotonic() + wait_s
    while True:
        try:
            return await attempt()
        except errors:
            if time.monotonic() >= deadline:
                raise
        await asyncio.sleep(PAUSE_S)


async def _first(answers: Sequence[Awaitable[T]]) -> T:
    """The first answer; an error only where there is no answer."""
    waiting = [asyncio.ensure_future(answer) for answer in answers]
    try:
        for answered in asyncio.as_completed(waiting):
            try:
                return await answered
            except RayActorError as error:
                last = error
        raise last
    finally:
        for each in waiting:
            each.cancel()


def service_id() -> str:
    """What tells this cluster from all others, also after all of its processes were started anew."""
    from ray._private.worker import global_worker  # Ray has no public way to ask this

    found: str = global_worker.gcs_client.cluster_id.hex()
    return found


def _name(number: int) -> str:
    return f"memory-{number}"


def _actor(config: Config, number: int) -> ActorHandle:
    try:
        return ray.get_actor(_name(number), NAMESPACE)
    except ValueError:
        # Imported only by who starts the actors: replicas that talk to them need no LanceDB in their memory.
        from personavlm.deployments.memory_process import MemoryActorProcess

    return (
        ray.remote(MemoryActorProcess)
        .options(
            name=_name(number),
            namespace=NAMESPACE,
            get_if_exists=True,  # somebody else may have asked at the same moment
            lifetime="detached",
            num_cpus=config.memory.cpus_per_actor,
            resources=dict(config.memory.resources),
            max_restarts=-1,
            max_task_retries=RETRIES,
        )
        .remote(config, number)
    )
