"""What is older than its kind may be goes for good; everything else stays as it was."""

from datetime import UTC, timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError

from personavlm.memory_store import (
    Add,
    BusyError,
    MemoryKind,
    MemoryStore,
    NotFoundError,
    Profile,
    SearchRequest,
    TurnDraft,
    Update,
    UserKey,
)
from personavlm.memory_store.lifecycle.retention import Expiry, Retention
from personavlm.memory_store.storage.settings import StorageSettings
from personavlm.memory_store.times import utc_now
from tests.unit.memory_store.archives import everything, live_a_little
from tests.unit.memory_store.encoders import close_stores, open_store
from tests.unit.memory_store.sealed_rows import new_sealer
from tests.unit.memory_store.steps import day, remember, say

ADA, BOB = UserKey("acme", "ada"), UserKey("globex", "ada")


@pytest.fixture(params=["in the clear", "sealed"])
def settings(request: pytest.FixtureRequest) -> StorageSettings:
    if request.param == "in the clear":
        return StorageSettings()
    sealers = new_sealer()
    request.addfinalizer(lambda: sealers.__exit__(None, None, None))
    return StorageSettings(protection=sealers.__enter__())


@pytest.fixture
def store(tmp_path: Path, settings: StorageSettings) -> MemoryStore:
    return open_store(tmp_path, storage=settings)


def expire(store: MemoryStore, number: float, **days: float) -> int:
    """Apply on that day; how many rewrites it took."""
    retention = Retention(**{kind: timedelta(days=age) for kind, age in days.items()})
    return len(Expiry(store._shard, store.eraser, utc_now).apply(retention, day(number)))


def texts(store: MemoryStore, user: UserKey) -> list[str]:
    return [turn.user_text for turn in store.turns(user)]


def test_nothing_goes_unasked(store: MemoryStore) -> None:
    live_a_little(store, ADA)
    before = everything(store, ADA)
    assert expire(store, 10_000) == 0
    assert expire(store, 100, turns=1000, core=1000, episodic=1000, profile=1000) == 0
    assert everything(store, ADA) == before
    with pytest.raises(ValidationError):
        Retention(turns=timedelta(0))


def test_turns_of_everybody_go_by_their_time_in_one_rewrite(store: MemoryStore, tmp_path: Path) -> None:
    for user in (ADA, BOB):
        say(store, user, 9.99, "words of the day before, to be forgotten", "an answer to be forgotten too")
        say(store, user, 10, "on the dot")
        say(store, user, 30, "later")
        remember(store, user, MemoryKind.SEMANTIC, Add("old knowledge", day(1), ()))
        store.index(user)
    assert expire(store, 40, turns=30) == 1
    for user in (ADA, BOB):
        assert texts(store, user) == ["on the dot", "later"]
        assert [memory.text for memory in store.memories(user)] == ["old knowledge"]
        assert not store.search(user, SearchRequest("forgotten")).turns[2:]
        assert store.append_turn(user, TurnDraft("and on", "")).index == 3
    assert expire(store, 40, turns=30) == 0
    close_stores()
    files = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert not any(b"to be forgotten" in data for data in files)


def test_a_memory_is_as_old_as_its_latest_version(store: MemoryStore) -> None:
    kinds = [kind for kind in MemoryKind if kind is not MemoryKind.EPISODIC]
    for kind in kinds:
        remember(store, ADA, kind, Add(f"old {kind}", day(1), (), key="old"))
        renewed = remember(store, ADA, kind, Add(f"renewed {kind}", day(1), (), key="renewed"))
        store.apply(ADA, kind, "renewal", [Update(renewed.id, f"new {kind}", day(20), ())])
    turn = say(store, ADA, 20, "x")
    long = Add("long episode", day(1), (turn.id,), end_time=day(20), session="s")
    episodes = [remember(store, ADA, MemoryKind.EPISODIC, long)]
    episodes.append(
        remember(store, ADA, MemoryKind.EPISODIC, Add("short", day(1), (turn.id,), end_time=day(2)))
    )
    assert expire(store, 30, core=15, semantic=15, episodic=15, procedural=15) == 1
    assert {memory.text for memory in store.memories(ADA)} == {f"new {kind}" for kind in kinds} | {
        "long episode"
    }
    renewed = store.memories(ADA, MemoryKind.CORE)[0]
    assert [memory.version for memory in store.history(ADA, renewed.id)] == [1, 2]
    assert expire(store, 30, core=15, semantic=15, episodic=15, procedural=15) == 0
    assert expire(store, 36, semantic=15) == 1
    assert len(store.memories(ADA)) == 3


def test_kinds_have_their_own_ages(store: MemoryStore) -> None:
    live_a_little(store, ADA)
    turns, core = store.turns(ADA), store.memories(ADA, MemoryKind.CORE)
    expire(store, 100, semantic=10, episodic=10, procedural=10)
    assert store.turns(ADA) == turns
    assert store.memories(ADA) == core
    assert not any(store._shard.records(ADA).links(memory.id) for memory in store.memories(ADA))
    assert store._shard.read(ADA, "links").num_rows == 0
    assert store.applied(ADA, MemoryKind.SEMANTIC, "nothing 1")


def test_the_same_id_of_two_users_is_two_memories(store: MemoryStore, tmp_path: Path) -> None:
    live_a_little(store, ADA)
    store.transfer.take_in(BOB, store.transfer.take_out(ADA))
    memory = store.memories(BOB, MemoryKind.CORE)[0]
    store.apply(BOB, MemoryKind.CORE, "renewal", [Update(memory.id, "renewed", day(50), ())])
    expire(store, 55, core=30)
    assert not store.memories(ADA, MemoryKind.CORE)
    assert [memory.text for memory in store.memories(BOB, MemoryKind.CORE)] == ["renewed"]


def test_images_go_with_the_last_that_refers_to_them(store: MemoryStore) -> None:
    for user in (ADA, BOB):
        shared = store.put_image(user, b"of a turn and of a memory", "image/png", 1, 1)
        alone = store.put_image(user, b"of a turn alone", "image/png", 1, 1)
        unused = store.put_image(user, b"not used yet", "image/png", 1, 1)
        store.append_turn(user, TurnDraft("a", "", day(1), (shared, alone)))
        remember(store, user, MemoryKind.SEMANTIC, Add("a cup", day(1), (), images=(shared,)))
    store.append_turn(BOB, TurnDraft("b", "", day(50), (alone,)))
    expire(store, 60, turns=20)
    assert store.image(ADA, shared.sha256) and store.image(ADA, unused.sha256)
    assert store.image(BOB, alone.sha256)
    with pytest.raises(NotFoundError):
        store.image(ADA, alone.sha256)
    expire(store, 60, semantic=20)
    with pytest.raises(NotFoundError):
        store.image(ADA, shared.sha256)
    assert store.image(ADA, unused.sha256)


def test_withdrawn_consent_outlives_every_age(store: MemoryStore) -> None:
    for user, consent in ((ADA, False), (BOB, True)):
        for number in (1, 2):
            profile = Profile(version=0, consent=consent, event_time=day(number), recorded_at=day(number))
            store.save_profile(user, profile)
    expire(store, 100, profile=10)
    assert [profile.version for profile in store.profile_history(ADA)] == [2]
    assert not store.profile(ADA).consent
    assert not store.profile_history(BOB)


def test_who_is_being_erased_is_waited_for(store: MemoryStore) -> None:
    say(store, ADA, 1, "old")
    with store.eraser.shut([ADA]), pytest.raises(BusyError):
        expire(store, 100, turns=1)
    assert expire(store, 100, turns=1) == 1
    assert not texts(store, ADA)


def test_a_receipt_says_what_went(store: MemoryStore) -> None:
    say(store, ADA, 1, "old")
    retention = Retention(turns=timedelta(days=3))
    (receipt,) = Expiry(store._shard, store.eraser, utc_now).apply(retention, day(9).astimezone(UTC))
    assert (receipt.scope, receipt.rows["turns"]) == ("retention", 1)
    assert receipt.detail == "turns before 2026-03-07 00:00:00+00:00"
