"""Turns that are stored together: each caller gets his own outcome, and waits for nobody else."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from personavlm.memory_store import InvalidError, MemoryStore, TurnDraft, UserKey
from personavlm.memory_store.turn_queue import TurnQueue
from tests.unit.memory_store.encoders import open_store

ANN, BOB, CLEO = (UserKey("t", name) for name in ("ann", "bob", "cleo"))
PATIENCE_S = 60.0


def said(store: MemoryStore, user: UserKey) -> list[str]:
    return [turn.user_text for turn in store.turns(user)]


@contextmanager
def in_use(store: MemoryStore, user: UserKey) -> Iterator[Callable[[], None]]:
    """Somebody holds the user's state until the function is called, or the block ends."""
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with store._cache.hold(user):
            held.set()
            done.wait(PATIENCE_S)

    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(PATIENCE_S)
    try:
        yield done.set
    finally:
        done.set()
        holder.join()


def test_turns_of_many_callers_are_stored_in_each_users_order(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    users = [UserKey("t", f"u{number}") for number in range(30)]

    async def speak(queue: TurnQueue, user: UserKey) -> None:
        for number in range(8):
            turn = await queue.append(user, TurnDraft(f"{user.user} {number}", "ok"))
            assert turn.index == number

    async def run() -> None:
        queue = TurnQueue(store)
        await asyncio.gather(*(speak(queue, user) for user in users))

    asyncio.run(run())
    expected = [[f"{user.user} {number}" for number in range(8)] for user in users]
    assert [said(store, user) for user in users] == expected
    store = open_store(tmp_path)
    assert [said(store, user) for user in users] == expected


@pytest.mark.parametrize("way", ["queue", "threads"])
def test_a_user_in_use_keeps_nobody_else_waiting(tmp_path: Path, way: str) -> None:
    store = open_store(tmp_path)
    for user in (ANN, BOB):
        store.append_turn(user, TurnDraft("first", "ok"))

    async def append(queue: TurnQueue, user: UserKey, text: str) -> int:
        if way == "queue":
            return (await queue.append(user, TurnDraft(text, "ok"))).index
        return (await asyncio.to_thread(store.append_turn, user, TurnDraft(text, "ok"))).index

    async def run() -> None:
        queue = TurnQueue(store)
        with in_use(store, ANN) as let_go:
            waiting = asyncio.create_task(append(queue, ANN, "second"))
            for number in range(1, 4):
                async with asyncio.timeout(PATIENCE_S / 2):
                    assert await append(queue, BOB, f"{number}") == number
            assert not waiting.done()
            let_go()
            assert await waiting == 1

    asyncio.run(run())
    assert (said(store, ANN), said(store, BOB)) == (["first", "second"], ["first", "1", "2", "3"])


def test_users_who_are_not_in_memory_go_on_where_they_were(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    for user in (ANN, BOB):
        store.append_turn(user, TurnDraft("first", "ok"))
    store.evict()

    async def run() -> list[int]:
        queue = TurnQueue(store)
        turns = await asyncio.gather(
            *(queue.append(user, TurnDraft("more", "ok")) for user in (ANN, BOB, CLEO))
        )
        return [turn.index for turn in turns]

    assert asyncio.run(run()) == [1, 1, 0]
    assert said(store, ANN) == ["first", "more"]


def test_a_bad_turn_is_refused_alone(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    drafts = [
        TurnDraft("good", "ok"),
        TurnDraft(" ", ""),
        TurnDraft("half \ud800", "ok"),
        TurnDraft("last", "ok"),
    ]
    good, empty, broken, last = store.append_each([(ANN, draft) for draft in drafts])
    assert isinstance(empty, InvalidError) and isinstance(broken, InvalidError)
    assert [turn.user_text for turn in store.turns(ANN)] == ["good", "last"]
    assert [turn.index for turn in store.turns(ANN)] == [0, 1]
    assert list(store.turns(ANN)) == [good, last]
    assert open_store(tmp_path).turns(ANN) == (good, last)


def test_the_same_turn_twice_in_one_group_is_stored_once(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    draft = TurnDraft("once", "ok", client_id="c1")
    one, two = store.append_each([(ANN, draft), (ANN, draft)])
    assert one == two
    assert said(open_store(tmp_path), ANN) == ["once"]


def test_who_stops_waiting_does_not_take_the_turn_back(tmp_path: Path) -> None:
    store = open_store(tmp_path)

    async def run() -> None:
        queue = TurnQueue(store)
        store.append_turn(ANN, TurnDraft("first", "ok"))
        with in_use(store, ANN) as let_go:
            leaving = asyncio.create_task(queue.append(ANN, TurnDraft("second", "ok")))
            await queue.append(BOB, TurnDraft("hello", "ok"))  # by now the other one is on its way
            leaving.cancel()
            with pytest.raises(asyncio.CancelledError):
                await leaving
            let_go()
        while said(store, ANN) != ["first", "second"]:
            await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(run(), PATIENCE_S))
