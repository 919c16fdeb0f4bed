"""The number of shards grows under load: nothing is lost or doubled, order is kept, a broken move goes on."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from datetime import UTC, datetime
from functools import partial
from itertools import count
from pathlib import Path
from threading import Event, Thread
from typing import Any

import httpx
import pytest

from personavlm.deployments.memory_moves import STEP_USERS, InProcess, Mover, grouped
from personavlm.deployments.open_stores import open_stores
from personavlm.deployments.store_root import store_root
from personavlm.memory_store import BusyError, ErasedError, MovedError, StoreError, TurnDraft, UserKey
from personavlm.memory_store.storage.layout import LayoutFile, bucket_of
from personavlm.memory_store.storage.objects import ChangedError
from personavlm.memory_store.stores import Stores
from personavlm.platform.config import MemoryConfig
from tests.integration.conftest import Service
from tests.unit.memory_store.encoders import ByteEncoder, WordEncoder

USERS = [UserKey("tenant", f"user-{number}") for number in range(24)]
STEPS = ("reload", "known_erasures", "learn_erasures", "users_in", "take_out", "take_in", "let_go")


class Store:
    """The shards of a store in this process, and its map."""

    def __init__(self, folder: Path) -> None:
        self.config = MemoryConfig(uri=str(folder), shards=1)
        self.file = LayoutFile(store_root(self.config))
        self.stores = open_stores(self.config, WordEncoder(), ByteEncoder())

    def mover(self, keepers: InProcess | None = None) -> Mover:
        return Mover(keepers or InProcess(self.stores), self.file)

    def texts(self, user: UserKey) -> list[str]:
        return [turn.user_text for turn in self.stores.of(user).turns(user)]

    def append(self, user: UserKey, text: str) -> None:
        self.stores.of(user).append_turn(user, TurnDraft(text, "ok", client_id=text))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path)
    yield store
    store.stores.close()


def persevere(call: Callable[[], object]) -> None:
    """As a client does: again, after an error that passes."""
    while True:
        try:
            call()
            return
        except (BusyError, MovedError):
            pass


def test_turns_of_many_threads_arrive_while_the_store_grows(store: Store) -> None:
    grown = Event()

    def talk(users: list[UserKey]) -> int:
        for number in count():
            for user in users:
                persevere(partial(store.append, user, f"turn {number}"))
            if grown.is_set() and number >= 3:
                return number + 1
        raise AssertionError("unreachable")

    with ThreadPoolExecutor(4) as pool:
        talking = [pool.submit(talk, USERS[first::4]) for first in range(4)]
        layout = asyncio.run(store.mover().grow(3))
        grown.set()
        for first, written in enumerate(talking):
            for user in USERS[first::4]:
                assert store.texts(user) == [f"turn {number}" for number in range(written.result())]
    counts = [layout.home.count(shard) for shard in range(3)]
    assert sum(counts) == 1024 and max(counts) - min(counts) <= 1
    assert not layout.moving and not layout.left
    assert sum(len(each.users()) for each in store.stores.all()) == len(USERS)
    assert {layout.shard_of(user) for user in USERS} == {0, 1, 2}


def test_who_was_erased_while_a_reply_was_written_is_refused_where_he_has_moved(store: Store) -> None:
    """Whether anything of him was stored or not; and a move alone refuses nobody."""
    for user in USERS[::2]:
        store.append(user, "before")
    contexts = {user: store.stores.of(user).context(user, datetime.now(UTC)) for user in USERS}
    erased = USERS[::3]
    for user in erased:
        store.stores.of(user).eraser.erase_user(user)
    layout = asyncio.run(store.mover().grow(3))
    assert {layout.shard_of(user) for user in erased} == {0, 1, 2}
    for user, context in contexts.items():
        draft = TurnDraft("meanwhile", "ok", last_erasure=context.last_erasure)
        with pytest.raises(ErasedError) if user in erased else nullcontext():
            store.stores.of(user).append_turn(user, draft)
        before = [] if user in erased else ["before"] * (user in USERS[::2]) + ["meanwhile"]
        assert store.texts(user) == before


class Broken(Exception):
    """The mover's process ends here."""


class Interrupted(InProcess):
    """Breaks off at the call whose turn it is, before it or after."""

    def __init__(self, stores: Stores, calls: int, done: bool) -> None:
        super().__init__(stores)
        self.calls, self.done = calls, done

    def __getattribute__(self, name: str) -> Any:  # noqa: ANN401
        found = super().__getattribute__(name)
        return self._counted(found) if name in STEPS else found

    def _counted(self, method: Callable[..., Any]) -> Callable[..., Any]:
        async def call(*args: object) -> object:
            self.calls -= 1
            if self.calls < 0 and not self.done:
                raise Broken
            result = await method(*args)
            if self.calls < 0:
                raise Broken
            return result

        return call


def test_a_mover_that_ends_anywhere_is_continued_by_the_next(store: Store) -> None:
    """Growing by one shard again and again, each time broken off a call later."""
    for user in USERS:
        store.append(user, "turn 0")
    shards = 1
    for rounds in range(12):
        if rounds % 4 == 0:
            shards += 1
        interrupted = Interrupted(store.stores, 3 * rounds % 17, done=rounds % 2 == 0)
        with suppress(Broken):
            asyncio.run(store.mover(interrupted).grow(shards))
        if rounds % 4 == 3:
            layout = asyncio.run(store.mover().grow(shards))
            assert not layout.moving and not layout.left and not layout.next_moves()
        for user in USERS:
            if bucket_of(user) not in store.stores.layout.moving:
                store.append(user, f"after {rounds}")
    for user in USERS:
        texts = store.texts(user)
        assert texts[0] == "turn 0" and len(set(texts)) == len(texts)
        assert texts[1:] == sorted(texts[1:], key=lambda text: int(text.split()[1]))
        assert {f"after {rounds}" for rounds in (3, 7, 11)} <= set(texts)
    assert sum(len(each.users()) for each in store.stores.all()) == len(USERS)


def test_of_two_movers_one_gives_up_and_nothing_is_lost(store: Store) -> None:
    for user in USERS:
        store.append(user, "before")

    async def both() -> list[object]:
        movers = store.mover(), store.mover()
        return list(await asyncio.gather(*(mover.grow(2) for mover in movers), return_exceptions=True))

    ends = asyncio.run(both())
    assert all(isinstance(end, StoreError) for end in ends if isinstance(end, Exception))
    layout = asyncio.run(store.mover().grow(2))
    assert not layout.moving and not layout.left and not layout.next_moves()
    for user in USERS:
        store.append(user, "after")
        assert store.texts(user) == ["before", "after"]


def test_a_mover_of_another_store_changes_nothing(store: Store, tmp_path: Path) -> None:
    other = LayoutFile(store_root(MemoryConfig(uri=str(tmp_path / "other"), shards=2)))
    before = other.load(2)
    with pytest.raises(ChangedError, match="another map"):
        asyncio.run(Mover(InProcess(store.stores), other).grow(4))
    assert other.load(2) == before


def test_few_users_move_together_and_empty_buckets_at_once() -> None:
    assert grouped({bucket: 1 for bucket in range(500)}, {}) == [{bucket: 1 for bucket in range(500)}]
    users = {0: 3, 1: 100, 3: STEP_USERS, 5: 1}
    steps = grouped({bucket: 1 for bucket in range(6)}, users)
    assert [list(step) for step in steps] == [[0], [1, 2], [3, 4], [5]]
    assert grouped({}, users) == []


def grow(service: Service, shards: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "personavlm.deployments", "store", "grow", "--shards", str(shards)]
    command += ["--config", str(service.folder / "config.yaml")]
    return subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_a_service_grows_while_it_serves_though_the_command_is_killed(own_service: Service) -> None:
    grown = Event()
    written: dict[str, int] = {}
    problems: list[object] = []

    def talk(user: str) -> None:
        with own_service.http() as client:
            for number in count():
                if problem := send(client, user, number):
                    problems.append(problem)
                    return
                written[user] = number + 1
                if grown.is_set():
                    return

    threads = [Thread(target=talk, args=(f"user-{number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    with grow(own_service, 3) as command:
        time.sleep(3.0)  # waits for nothing: it picks the point of the kill
        command.send_signal(signal.SIGKILL)
    with grow(own_service, 3) as command:
        _, said = command.communicate(timeout=120)
    grown.set()
    for thread in threads:
        thread.join()
    assert command.returncode == 0 and "3 shards" in said, said
    assert not problems
    assert len(list((own_service.folder / "memory").glob("shard-*"))) == 3
    with own_service.http() as client:
        for user, turns in written.items():
            entries = client.get(f"/v1/users/{user}/timeline", params={"limit": 1000}).json()["data"]
            texts = [entry["text"] for entry in entries if entry["kind"] == "turn"]
            assert texts == [said_in(number) for number in reversed(range(turns))]


def said_in(number: int) -> str:
    return f"Note number {number}."


def send(client: httpx.Client, user: str, number: int) -> str:
    """Until it is stored, as a client should; what else went wrong, if anything."""
    turn = {
        "client_id": f"n{number}",
        "event_time": f"2026-03-{number // 1000 + 1:02d}T{number // 60 % 24:02d}:{number % 60:02d}:00Z",
        "user_text": said_in(number),
        "assistant_text": "All right.",
    }
    while True:
        reply = client.post("/v1/turns", json={"user": user, "turns": [turn]})
        if reply.status_code == 200:
            return ""
        if reply.status_code != 503:
            return reply.text
