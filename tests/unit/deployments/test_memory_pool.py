"""The way to a user's home: it follows who moved, waits for who comes back, and gives up in time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from ray.exceptions import ActorUnavailableError, RayActorError

from personavlm.deployments import origins
from personavlm.deployments.memory_origins import Attributed
from personavlm.deployments.memory_pool import MemoryPool, patiently
from personavlm.deployments.origins import Origin
from personavlm.memory_store import BusyError, LostEpochError, MovedError, NotFoundError, UserKey
from personavlm.memory_store.storage.layout import Layout, bucket_of

USER = UserKey("tenant", "user")


class Method:
    """As Ray's: called by ``remote``."""

    def __init__(self, function: Callable[..., Awaitable[Any]]) -> None:
        self.remote = function


class Actor:
    """A process with one shard, reached as Ray's actors are. ``troubles`` are raised first, one a call."""

    def __init__(self, shard: int, layout: Layout, troubles: tuple[Exception, ...] = ()) -> None:
        self.shard, self.map, self.troubles = shard, layout, list(troubles)
        self.served = 0
        self.stepped_down = False
        self.layout, self.where = Method(self._layout), Method(self._where)
        self.step_down, self.erase_tenant = Method(self._step_down), Method(self._erase_tenant)

    async def _layout(self) -> Layout:
        if self.troubles and isinstance(self.troubles[0], RayActorError):
            raise self.troubles[0]
        return self.map

    async def _where(self, user: UserKey) -> int:
        if self.troubles:
            raise self.troubles.pop(0)
        if self.map.shard_of(user) != self.shard:
            raise MovedError("not here")
        self.served += 1
        return self.shard

    async def _step_down(self) -> None:
        self.stepped_down = True

    async def _erase_tenant(self, tenant: str) -> list[str]:
        return [f"{tenant} in {self.shard}"]


def home_in(shard: int) -> Layout:
    layout = Layout.even(1).grown(2)
    bucket = bucket_of(USER)
    return layout.begin_moves({bucket: shard}).end_moves([bucket]).cleared() if shard else layout


def unavailable() -> Exception:
    return ActorUnavailableError("it restarts", None)


async def test_a_call_follows_a_user_who_has_moved() -> None:
    actors = [Actor(0, home_in(0)), Actor(1, home_in(0))]
    home = MemoryPool(lambda: actors).home(USER)
    assert await home.call("where") == 0
    for actor in actors:
        actor.map = home_in(1)
    assert await home.call("where") == 1


@pytest.mark.parametrize("trouble", [BusyError("it moves"), unavailable()], ids=["busy", "unavailable"])
async def test_a_call_waits_for_what_passes(trouble: Exception) -> None:
    actor = Actor(0, home_in(0), (trouble, trouble))
    assert await MemoryPool(lambda: [actor, Actor(1, home_in(0))]).home(USER).call("where") == 0
    assert actor.served == 1


async def test_a_home_that_lost_its_shard_is_told_to_end() -> None:
    actor = Actor(0, home_in(0), (LostEpochError("epoch 3"),))
    assert await MemoryPool(lambda: [actor, Actor(1, home_in(0))]).home(USER).call("where") == 0
    assert actor.stepped_down


async def test_what_does_not_pass_is_raised_at_once() -> None:
    actor = Actor(0, home_in(0), (NotFoundError("no turn"), BusyError("never seen")))
    with pytest.raises(NotFoundError):
        await MemoryPool(lambda: [actor]).home(USER).call("where")
    assert len(actor.troubles) == 1


@pytest.mark.parametrize("trouble", [BusyError("it moves"), MovedError("elsewhere"), unavailable()])
async def test_patience_ends(trouble: Exception) -> None:
    calls = 0

    async def attempt() -> None:
        nonlocal calls
        calls += 1
        raise trouble

    with pytest.raises(type(trouble)):
        await patiently(attempt, wait_s=0.02)
    assert calls > 1


async def test_the_map_is_known_while_an_actor_restarts() -> None:
    actors = [Actor(0, home_in(1), (unavailable(),)), Actor(1, home_in(1))]
    assert await MemoryPool(lambda: actors).home(USER).call("where") == 1
    for actor in actors:
        actor.troubles = [unavailable()]
    with pytest.raises(ActorUnavailableError):
        await MemoryPool(lambda: actors).layout()


async def test_a_tenant_is_not_confirmed_as_erased_while_users_move() -> None:
    actors = [Actor(0, home_in(0)), Actor(1, home_in(0))]
    pool = MemoryPool(lambda: actors)
    assert list(map(str, await pool.erase_tenant("acme"))) == ["acme in 0", "acme in 1"]
    erase = actors[1].erase_tenant.remote

    async def moved_meanwhile(tenant: str) -> list[str]:
        for actor in actors:
            actor.map = home_in(1)
        return list(await erase(tenant))

    actors[1].erase_tenant = Method(moved_meanwhile)
    with pytest.raises(BusyError, match="again"):
        await pool.erase_tenant("acme")


class Attributing(Actor):
    """An actor that keeps for whom it was called."""

    def __init__(self, shard: int, layout: Layout) -> None:
        super().__init__(shard, layout)
        self.calls: list[tuple[Origin, str, UserKey]] = []
        self.on_behalf = Method(self._on_behalf)

    async def _on_behalf(self, origin: Origin, method: str, user: UserKey) -> int:
        self.calls.append((origin, method, user))
        return await self._where(user)


async def test_a_call_for_a_request_says_so_and_any_other_does_not() -> None:
    actor = Attributing(0, home_in(0))
    home = MemoryPool(lambda: [actor]).home(USER)
    with origins.working_for(Origin("req-1")):
        assert await home.call("where") == 0
    assert actor.calls == [(Origin("req-1"), "where", USER)]
    assert await home.call("where") == 0
    assert len(actor.calls) == 1 and actor.served == 2


class Remembering(Attributed):
    """A memory actor's part, with one method."""

    async def who(self, user: UserKey, more: str) -> tuple[str, UserKey, str]:
        return await asyncio.to_thread(lambda: (origins.current().request_id, user, more))


async def test_an_actor_works_for_the_request_in_its_threads_too() -> None:
    assert await Remembering().on_behalf(Origin("req-1"), "who", USER, "x") == ("req-1", USER, "x")
    assert origins.current() == origins.NOBODY
