"""The queue behind the replies: one worker a user, repeated while the model fails, idle when done."""

from __future__ import annotations

import asyncio

import pytest

from personavlm.deployments import origins, update_queue
from personavlm.deployments.courtesy import PATIENCE_S, QUIET_S, CourteousEngine, Courtesy
from personavlm.deployments.origins import Origin
from personavlm.deployments.update_queue import MAX_USERS_AT_ONCE, UpdateQueue
from personavlm.memory_store import UserKey
from personavlm.platform.engines.base import Conversation, Sampling, Segment, complete
from personavlm.platform.engines.scripted import ScriptedEngine
from personavlm.platform.errors import EngineUnavailable

USERS = [UserKey("t", str(number)) for number in range(5)]


class Work:
    """Counts who is worked for, and at most how many at once."""

    def __init__(self, failures: int = 0) -> None:
        self.done: list[UserKey] = []
        self.now: set[UserKey] = set()
        self.most = 0
        self.failures = failures

    async def __call__(self, user: UserKey) -> None:
        assert user not in self.now, "twice at once for one user"
        self.now.add(user)
        self.most = max(self.most, len(self.now))
        await asyncio.sleep(0)
        self.now.discard(user)
        if self.failures:
            self.failures -= 1
            raise EngineUnavailable("not there")
        self.done.append(user)


async def test_every_user_is_worked_for_a_few_at_once() -> None:
    work = Work()
    queue = UpdateQueue(work)
    for user in USERS * 3:
        queue.notify(user)
    for user in USERS:
        await queue.idle(user)
    assert set(work.done) == set(USERS)
    assert work.most <= MAX_USERS_AT_ONCE


async def test_what_comes_while_it_works_is_not_forgotten() -> None:
    started, go = asyncio.Event(), asyncio.Event()
    runs = 0

    async def work(_: UserKey) -> None:
        nonlocal runs
        runs += 1
        started.set()
        await go.wait()

    queue = UpdateQueue(work)
    queue.notify(USERS[0])
    await started.wait()
    queue.notify(USERS[0])
    go.set()
    await queue.idle(USERS[0])
    assert runs == 2


async def test_a_failing_model_is_asked_again() -> None:
    work = Work(failures=1)
    queue = UpdateQueue(work)
    queue.notify(USERS[0])
    async with asyncio.timeout(10 * update_queue.FIRST_RETRY_S):
        await queue.idle(USERS[0])
    assert work.done == [USERS[0]]


async def test_what_ends_the_work_reaches_who_waits_and_is_tried_again() -> None:
    problems = [RuntimeError("torn")]
    done = []

    async def work(user: UserKey) -> None:
        if problems:
            raise problems.pop()
        done.append(user)

    queue = UpdateQueue(work)
    queue.notify(USERS[0])
    with pytest.raises(RuntimeError, match="torn"):
        await queue.idle(USERS[0])
    queue.notify(USERS[0])
    await queue.idle(USERS[0])
    assert done == [USERS[0]]


@pytest.mark.parametrize("who", [USERS[0], "t"])
async def test_who_is_paused_is_stopped_and_begins_again_afterwards(who: UserKey | str) -> None:
    started = asyncio.Queue[UserKey]()
    ended: list[UserKey] = []

    async def work(user: UserKey) -> None:
        started.put_nowait(user)
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(user)

    queue, other = UpdateQueue(work), UserKey("another", "t")
    queue.notify(USERS[0])
    queue.notify(other)
    assert {await started.get(), await started.get()} == {USERS[0], other}
    async with queue.paused(who):
        assert ended == [USERS[0]]
        async with queue.paused(who):
            queue.notify(USERS[0])
            queue.notify(other)
        await asyncio.sleep(0)
        assert started.empty()
    assert await started.get() == USERS[0]
    assert ended == [USERS[0]]
    for user in (USERS[0], other):
        await queue.drop(user)


async def test_courtesy_waits_for_quiet_but_not_for_ever() -> None:
    courtesy, clock = Courtesy(), asyncio.get_running_loop()
    started = clock.time()
    await courtesy.quiet()
    assert clock.time() - started < QUIET_S  # nobody was served yet

    async def keep_serving() -> None:
        while True:
            courtesy.serving()
            await asyncio.sleep(QUIET_S / 10)

    busy = asyncio.create_task(keep_serving())
    await asyncio.sleep(0)
    started = clock.time()
    await courtesy.quiet()
    assert QUIET_S < clock.time() - started < PATIENCE_S + 1
    busy.cancel()


async def test_what_an_update_takes_is_counted() -> None:
    engine = CourteousEngine(ScriptedEngine(["one", "and two more"]), Courtesy())
    said = []
    for text in ("Hello", "Hello again"):
        said.append(await complete(engine, Conversation([Segment("user", text)]), Sampling()))
    assert engine.prompt_tokens == sum(one.prompt_tokens for one in said) > 0
    assert engine.completion_tokens == sum(one.completion_tokens for one in said) > 0
    assert engine.cached_tokens == sum(one.cached_tokens for one in said)


async def test_what_waits_has_an_age_and_failures_are_counted() -> None:
    release, started = asyncio.Event(), asyncio.Event()

    async def work(user: UserKey) -> None:
        started.set()
        await release.wait()
        raise ValueError("broken")

    queue = UpdateQueue(work)
    assert (queue.length(), queue.lag_s(), queue.failures) == (0, 0.0, 0)
    for user in USERS:
        queue.notify(user)
    await started.wait()
    before = queue.lag_s()
    queue.notify(USERS[0])  # while it is worked for: it waits once more, and the first is as old as it was
    assert queue.length() == len(USERS) and queue.lag_s() >= before > 0
    waiting = asyncio.gather(*(queue.idle(user) for user in USERS), return_exceptions=True)
    await asyncio.sleep(0)
    release.set()
    assert [type(end) for end in await waiting] == [ValueError] * len(USERS)
    assert queue.failures == queue.length() == len(USERS), "what failed is still pending"
    assert queue.lag_s() >= before
    for user in USERS:
        await queue.drop(user)
    assert (queue.length(), queue.lag_s()) == (0, 0.0)


async def test_work_is_not_done_for_the_request_that_started_it() -> None:
    working_for_ids: list[str] = []

    async def work(user: UserKey) -> None:
        working_for_ids.append(origins.current().request_id)

    queue = UpdateQueue(work)
    with origins.working_for(Origin("req-1")):
        queue.notify(USERS[0])
        assert origins.current().request_id == "req-1"
    await queue.idle(USERS[0])
    assert working_for_ids == [""]
