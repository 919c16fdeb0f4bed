"""Shards of one process: who is served while buckets move, and that moves lose and double nothing."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from threading import Event

import pytest

from personavlm.memory_store import BusyError, MemoryStore, MovedError, SearchRequest, TurnDraft, UserKey
from personavlm.memory_store.storage.layout import Layout, LayoutFile, bucket_of
from personavlm.memory_store.storage.local_objects import LocalObjects
from personavlm.memory_store.stores import AtHome, Stores
from tests.unit.memory_store.encoders import ByteEncoder, WordEncoder

USERS = [UserKey("tenant", f"user-{number}") for number in range(12)]
PNG = b"\x89PNG\r\n\x1a\n an image"


class Process:
    """The shards of one process, or of one of several that share a store."""

    def __init__(
        self, folder: Path, shards: int = 2, mine: Callable[[int], bool] = lambda shard: True
    ) -> None:
        self.folder, self.file = folder, LayoutFile(LocalObjects(folder))
        self.stores = Stores(self.file, shards, self._open, mine)

    def _open(self, shard: int, at_home: AtHome) -> MemoryStore:
        folder = self.folder / f"shard-{shard}"
        return MemoryStore.open(
            folder, text_encoder=WordEncoder(), image_encoder=ByteEncoder(), at_home=at_home
        )

    def change(self, new: Layout) -> None:
        self.file.replace(self.file.load(1), new)
        self.stores.reload()

    def begin(self, user: UserKey) -> tuple[int, int]:
        """Send the user's bucket to the other shard; where it is, and where it goes."""
        layout = self.stores.layout
        old = layout.shard_of(user)
        self.change(layout.begin_moves({bucket_of(user): 1 - old}))
        return old, 1 - old

    def move(self, user: UserKey) -> None:
        old, new = self.begin(user)
        self.stores.take_in(new, user, self.stores.take_out(old, user))
        self.change(self.stores.layout.end_moves([bucket_of(user)]))
        self.stores.let_go(old, [bucket_of(user)])
        self.change(self.stores.layout.cleared())


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Process]:
    process = Process(tmp_path)
    yield process
    process.stores.close()


def append(stores: Stores, user: UserKey, text: str) -> None:
    stores.of(user).append_turn(user, TurnDraft(text, "ok", client_id=text))


def texts(stores: Stores, user: UserKey) -> list[str]:
    return [turn.user_text for turn in stores.of(user).turns(user)]


def test_users_on_the_move_are_busy_and_others_are_served(process: Process) -> None:
    stores = process.stores
    for user in USERS:
        append(stores, user, "before")
    moving, *others = USERS
    image = stores.of(moving).put_image(moving, PNG, "image/png", 1, 1)
    old, _ = process.begin(moving)
    calls: list[Callable[[], object]] = [
        lambda: append(stores, moving, "meanwhile"),
        lambda: texts(stores, moving),
        lambda: stores.of(moving).put_image(moving, PNG + b"2", "image/png", 1, 1),
        lambda: stores.of(moving).image(moving, image.sha256),
        lambda: stores.shard(old).search(moving, SearchRequest(keywords="before")),
    ]
    for call in calls:
        with pytest.raises(BusyError):
            call()
    with pytest.raises(BusyError), stores.settled(moving):
        pass
    with pytest.raises(BusyError), stores.all_settled():
        pass
    assert moving not in stores.users()
    for user in others:
        append(stores, user, "meanwhile")
        assert texts(stores, user) == ["before", "meanwhile"]
        with stores.settled(user):
            pass


def test_the_old_home_sends_users_on(process: Process) -> None:
    stores, user = process.stores, USERS[0]
    append(stores, user, "before")
    old = stores.layout.shard_of(user)
    image = stores.of(user).put_image(user, PNG, "image/png", 1, 1)
    process.move(user)
    for call in (stores.shard(old).turns, stores.shard(old).profile):
        with pytest.raises(MovedError):
            call(user)
    append(stores, user, "after")
    assert texts(stores, user) == ["before", "after"]
    assert stores.of(user).image(user, image.sha256) == PNG
    assert stores.shard(old).users() == ()
    assert stores.users() == (user,) == stores.pending()


def test_each_home_does_its_part_only_when_it_is_time(process: Process) -> None:
    """Else a second mover, be it a slow one, would undo what the first one finished."""
    stores, user = process.stores, USERS[0]
    append(stores, user, "before")
    old = stores.layout.shard_of(user)
    bucket = bucket_of(user)
    with pytest.raises(MovedError):
        stores.take_out(old, user)
    with pytest.raises(MovedError):
        stores.let_go(old, [bucket])
    old, new = process.begin(user)
    archive = stores.take_out(old, user)
    with pytest.raises(MovedError):
        stores.take_out(new, user)
    with pytest.raises(MovedError):
        stores.take_in(old, user, archive)
    with pytest.raises(MovedError):
        stores.let_go(new, [bucket])
    stores.take_in(new, user, archive)
    process.change(stores.layout.end_moves([bucket]))
    append(stores, user, "after")
    with pytest.raises(MovedError):
        stores.take_in(new, user, archive)
    with pytest.raises(BusyError), stores.settled(user):  # the old home still holds something of him
        pass
    stores.let_go(old, [bucket])
    process.change(stores.layout.cleared())
    with stores.settled(user) as home:
        assert home is stores.shard(new)
    assert texts(stores, user) == ["before", "after"]


def test_a_shard_of_another_process_is_not_here(tmp_path: Path) -> None:
    with ExitStack() as closing:
        even = Process(tmp_path, 2, lambda shard: shard % 2 == 0)
        closing.callback(even.stores.close)
        odd = Process(tmp_path, 2, lambda shard: shard % 2 == 1)
        closing.callback(odd.stores.close)
        assert (even.stores.numbers(), odd.stores.numbers()) == ((0,), (1,))
        for user in USERS:
            home, other = (even, odd) if even.stores.layout.shard_of(user) == 0 else (odd, even)
            append(home.stores, user, "here")
            with pytest.raises(MovedError):
                other.stores.of(user)
        assert sorted(even.stores.users() + odd.stores.users(), key=str) == sorted(USERS, key=str)


def test_no_write_is_acknowledged_by_the_old_home_once_it_has_read_the_map(process: Process) -> None:
    """Whatever was acknowledged before ``reload`` returned is in what is taken out after it."""
    stores, user = process.stores, USERS[0]
    started = Event()

    def keep_appending() -> list[str]:
        acknowledged: list[str] = []
        while True:
            text = f"turn {len(acknowledged)}"
            try:
                append(stores, user, text)
            except (BusyError, MovedError):
                return acknowledged
            acknowledged.append(text)
            if len(acknowledged) == 3:
                started.set()

    for _ in range(5):
        started.clear()
        with ThreadPoolExecutor(1) as pool:
            appending = pool.submit(keep_appending)
            assert started.wait(20)
            process.move(user)
            acknowledged = appending.result()
        assert texts(stores, user)[: len(acknowledged)] == acknowledged
        assert len(set(texts(stores, user))) == len(texts(stores, user))


def test_reload_waits_for_an_erasure_to_end(process: Process) -> None:
    stores, user = process.stores, USERS[0]
    append(stores, user, "before")
    with ThreadPoolExecutor(1) as pool:
        with stores.settled(user) as home:
            moving = pool.submit(process.begin, user)
            home.eraser.erase_user(user)
            assert not moving.done()
        old, _ = moving.result()
    assert stores.users_in(old, [bucket_of(user)]) == []


@pytest.mark.parametrize("last_step", [0, 1, 2, 3])
def test_a_move_that_ends_anywhere_is_finished_by_the_next(tmp_path: Path, last_step: int) -> None:
    process, users = Process(tmp_path), USERS[:3]
    for user in users:
        append(process.stores, user, "before")
    finish(process, users[0], last_step)  # as far as this mover gets
    process.stores.close()
    process = Process(tmp_path)
    finish(process, users[0], 4)
    for user in users:
        append(process.stores, user, "after")
        assert texts(process.stores, user) == ["before", "after"]
    assert sorted(process.stores.users(), key=str) == sorted(users, key=str)
    assert sum(len(store.users()) for store in process.stores.all()) == len(users)
    process.stores.close()


def finish(process: Process, user: UserKey, last_step: int) -> None:
    """Take up the move of a user's bucket where the map says that it stands, or begin one; stop early."""
    stores, bucket = process.stores, bucket_of(user)
    if bucket not in stores.layout.moving and bucket not in stores.layout.left:
        process.begin(user)
    if bucket in stores.layout.moving:
        old, new = stores.layout.home[bucket], stores.layout.moving[bucket]
        for each in stores.users_in(old, [bucket]) if last_step >= 1 else ():
            stores.take_in(new, each, stores.take_out(old, each))
        if last_step >= 2:
            process.change(stores.layout.end_moves([bucket]))
    if last_step >= 3:
        stores.let_go(stores.layout.left[bucket], [bucket])
    if last_step >= 4:
        process.change(stores.layout.cleared())
