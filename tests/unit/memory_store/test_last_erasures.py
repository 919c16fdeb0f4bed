"""A turn that began before its user was erased is not stored; any other is."""

import asyncio
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from personavlm.memory_store import BusyError, DamagedError, ErasedError, MemoryStore, TurnDraft, UserKey
from personavlm.memory_store.lifecycle.last_erasures import KEPT, KEY, LastErasures
from personavlm.memory_store.queries import Window
from personavlm.memory_store.storage.local_objects import LocalObjects
from personavlm.memory_store.storage.settings import StorageSettings
from personavlm.memory_store.storage.table_repair import UNREADABLE
from personavlm.memory_store.turn_queue import TurnQueue
from tests.unit.memory_store.blocked import Blocked
from tests.unit.memory_store.encoders import open_store
from tests.unit.memory_store.steps import day, say

ANN, BOB, EVE = UserKey("acme", "ann"), UserKey("acme", "bob"), UserKey("other", "ann")
START = datetime(2026, 3, 1, tzinfo=UTC)
APPENDS: dict[str, Callable[[MemoryStore, UserKey, TurnDraft], object]] = {
    "one": lambda store, user, draft: store.append_turn(user, draft),
    "several": lambda store, user, draft: store.append_turns(user, [draft]),
    "each": lambda store, user, draft: of_each(store, user, draft),
    "queue": lambda store, user, draft: asyncio.run(TurnQueue(store).append(user, draft)),
}
BETWEEN: dict[str, Callable[[MemoryStore, Path, StorageSettings], MemoryStore]] = {
    "nothing": lambda store, folder, storage: store,
    "a restart": lambda store, folder, storage: open_store(folder, storage=storage),
}
ERASE: dict[str, Callable[[MemoryStore], object]] = {
    "user": lambda store: store.eraser.erase_user(ANN),
    "tenant": lambda store: store.eraser.erase_tenant("acme"),
}


def of_each(store: MemoryStore, user: UserKey, draft: TurnDraft) -> object:
    """As the queue does: whoever has to wait goes alone."""
    (outcome,) = store.append_each([(user, draft)])
    if isinstance(outcome, Exception):
        raise outcome
    return outcome or store.append_turns(user, [draft])


def begun(store: MemoryStore, user: UserKey, text: str = "hello", client_id: str = "") -> TurnDraft:
    """A turn whose context was read just now."""
    last = store.context(user, day(1)).last_erasure
    return TurnDraft(text, "ok", client_id=client_id, last_erasure=last)


def texts(store: MemoryStore, user: UserKey) -> list[str]:
    return [turn.user_text for turn in store.turns(user)]


@pytest.fixture(params=["journal", "commit"])
def storage(request: pytest.FixtureRequest) -> StorageSettings:
    return StorageSettings(request.param)


# the store


@pytest.mark.parametrize("between", BETWEEN)
@pytest.mark.parametrize("scope", ERASE)
def test_who_was_erased_meanwhile_gets_no_turn(
    tmp_path: Path, storage: StorageSettings, scope: str, between: str
) -> None:
    store = open_store(tmp_path, storage=storage)
    for user in (BOB, EVE):  # of Ann nothing is stored yet
        say(store, user, 0, "before")
    drafts = {user: begun(store, user) for user in (ANN, BOB, EVE)}
    ERASE[scope](store)
    store = BETWEEN[between](store, tmp_path, storage)
    erased = (ANN,) if scope == "user" else (ANN, BOB)
    for append in APPENDS.values():
        for user in erased:
            with pytest.raises(ErasedError):
                append(store, user, drafts[user])
            assert texts(store, user) == []
        append(store, EVE, drafts[EVE])
    if scope == "user":
        store.append_turn(BOB, drafts[BOB])
        assert texts(store, BOB) == ["before", "hello"]
    assert texts(store, EVE) == ["before", *["hello"] * len(APPENDS)]
    for append in APPENDS.values():
        append(store, ANN, begun(store, ANN, "after"))
    assert texts(store, ANN) == ["after"] * len(APPENDS)
    assert texts(open_store(tmp_path, storage=storage), ANN) == ["after"] * len(APPENDS)


def test_a_turn_sent_again_after_the_erasure_is_not_taken_for_new(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    draft = begun(store, ANN, client_id="c1")
    store.append_turn(ANN, draft)
    store.eraser.erase_user(ANN)
    with pytest.raises(ErasedError):
        store.append_turn(ANN, draft)
    again = store.append_turn(ANN, begun(store, ANN, client_id="c1"))
    assert store.append_turn(ANN, draft) == again, "what is stored is stored"
    assert texts(store, ANN) == ["hello"]


def test_recorded_turns_rest_on_no_context(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.eraser.erase_user(ANN)
    store.append_turn(ANN, TurnDraft("imported", "ok"))
    assert texts(store, ANN) == ["imported"]


def test_an_erasure_of_something_refuses_nobody(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    say(store, ANN, 0, "before")
    draft = begun(store, ANN)
    store.eraser.erase_range(ANN, Window(day(-1), day(1)))
    store.append_turn(ANN, draft)
    assert texts(store, ANN) == ["hello"]


def test_an_erasure_that_the_next_opening_finishes_counts(tmp_path: Path, storage: StorageSettings) -> None:
    store = open_store(tmp_path, storage=storage)
    say(store, ANN, 0, "before")
    store.flush()
    drafts = {user: begun(store, user) for user in (ANN, BOB)}
    with Blocked(tmp_path, readable=True), pytest.raises(UNREADABLE):
        store.eraser.erase_user(ANN)
    with pytest.raises(BusyError):
        store.append_turn(ANN, drafts[ANN])
    store = open_store(tmp_path, storage=storage)
    with pytest.raises(ErasedError):
        store.append_turn(ANN, drafts[ANN])
    store.append_turn(BOB, drafts[BOB])
    assert (texts(store, ANN), texts(store, BOB)) == ([], ["hello"])


def test_what_an_import_replaces_is_no_erasure(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    say(store, ANN, 0, "before")
    with (tmp_path / "archive.zip").open("xb") as file:
        store.transfer.export_user(ANN, file)
    draft = begun(store, ANN)
    with (tmp_path / "archive.zip").open("rb") as file:
        store.transfer.import_user(ANN, file, replace=True)
    store.append_turn(ANN, draft)
    assert texts(store, ANN) == ["before", "hello"]


def test_what_is_dropped_as_its_users_have_moved_is_no_erasure(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    draft = begun(store, ANN)
    store.eraser.erase_users([ANN], "move")
    store.append_turn(ANN, draft)
    assert texts(store, ANN) == ["hello"]


# the numbers


@dataclass
class Shards:
    """Two shards whose clocks say what they like, and what was begun in which life of whom."""

    folder: Path
    clocks: list[datetime] = field(default_factory=lambda: [START, START])
    shards: list[LastErasures] = field(init=False)
    homes: dict[UserKey, int] = field(default_factory=lambda: dict.fromkeys((ANN, BOB, EVE), 0))
    lives: dict[UserKey, int] = field(default_factory=lambda: dict.fromkeys((ANN, BOB, EVE), 0))
    begun: list[tuple[UserKey, int, int]] = field(default_factory=list)
    moved: bool = False
    tenants: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.shards = [self.opened(0), self.opened(1)]

    def opened(self, shard: int) -> LastErasures:
        objects = LocalObjects(self.folder / f"{shard}")
        return LastErasures(objects, lambda: self.clocks[shard])

    def begin(self, user: UserKey) -> None:
        self.begun.append((user, self.lives[user], self.shards[self.homes[user]].number))

    def erase(self, who: UserKey | str) -> None:
        for number, shard in enumerate(self.shards):
            if isinstance(who, str) or self.homes[who] == number:
                shard.note([who])
        if isinstance(who, str):
            self.tenants.add(who)
        for user in self.lives:
            self.lives[user] += who in (user, user.tenant)

    def restart(self, shard: int, clock: int) -> None:
        self.clocks[shard] = START + timedelta(seconds=clock)
        self.shards[shard] = self.opened(shard)

    def move(self, user: UserKey) -> None:
        old, new = self.homes[user], 1 - self.homes[user]
        self.shards[new].learn(self.shards[old].known())
        self.homes[user], self.moved = new, True

    def check(self) -> None:
        for user, life, number in self.begun:
            refused = False
            try:
                self.shards[self.homes[user]].require_none_since(user, number)
            except ErasedError:
                refused = True
            if life < self.lives[user]:
                assert refused
            elif not (self.moved and user.tenant in self.tenants):  # each shard numbers the tenant's anew
                assert not refused


user_ = st.sampled_from((ANN, BOB, EVE))
step = st.one_of(
    st.tuples(st.just(Shards.begin), user_),
    st.tuples(st.just(Shards.erase), st.one_of(user_, st.just("acme"))),
    st.tuples(st.just(Shards.restart), st.integers(0, 1), st.integers(-3600, 3600)),
    st.tuples(st.just(Shards.move), user_),
)


@given(st.lists(step, max_size=14))
def test_who_began_before_an_erasure_is_refused_wherever_and_whenever(steps: list[tuple]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        shards = Shards(Path(folder))
        for act, *args in steps:
            act(shards, *args)
            shards.check()


def test_another_users_move_does_not_refuse_who_stays(tmp_path: Path) -> None:
    shards = Shards(tmp_path)
    shards.erase(BOB)
    shards.move(ANN)
    for user in (ANN, BOB, EVE):
        shards.begin(user)
    shards.erase(EVE)
    shards.move(EVE)
    for user, _, number in shards.begun[:2]:
        shards.shards[shards.homes[user]].require_none_since(user, number)
    shards.check()


def test_two_writers_lose_none_of_each_others(tmp_path: Path) -> None:
    """One of them lost its epoch a moment ago and does not know it yet."""
    shards = Shards(tmp_path)
    first, second = shards.shards[0], shards.opened(0)
    number = first.number
    second.note([ANN])
    first.note([BOB])
    second.note([EVE])
    for known in (second, shards.opened(0)):
        for user in (ANN, BOB, EVE):
            with pytest.raises(ErasedError):
                known.require_none_since(user, number)


def test_what_no_reply_can_be_older_than_is_forgotten(tmp_path: Path) -> None:
    shards = Shards(tmp_path)
    for name in ("ann", "bob"):
        shards.shards[0].note([UserKey("acme", name)])
    shards.clocks[0] += KEPT / 2
    shards.shards[0].note([EVE])
    assert len(shards.shards[0].known().last) == 3
    shards.clocks[0] += KEPT * 0.6
    shards.shards[0].note(["acme"])
    assert {(each.tenant, each.user) for each in shards.opened(0).known().last} == {EVE, ("acme", None)}


def test_a_list_that_makes_no_sense_is_not_taken_for_an_empty_one(tmp_path: Path) -> None:
    LocalObjects(tmp_path / "0").put(KEY, b'{"number": "many"}')
    with pytest.raises(DamagedError):
        Shards(tmp_path)
