"""What is erased is in no file, no answer and no past; all else stays as it was."""

from collections.abc import Callable
from pathlib import Path

import lancedb
import pytest

from personavlm.memory_store import (
    Add,
    BusyError,
    DamagedError,
    MemoryKind,
    MemoryStore,
    NotFoundError,
    TurnDraft,
    UserKey,
    Window,
)
from personavlm.memory_store.lifecycle.erasure import Plan, Receipt
from personavlm.memory_store.storage.settings import StorageSettings
from personavlm.memory_store.storage.sql import quoted
from personavlm.memory_store.storage.table_repair import UNREADABLE
from personavlm.memory_store.storage.tables import uid_of
from tests.unit.memory_store.blocked import Blocked
from tests.unit.memory_store.encoders import close_stores, open_store
from tests.unit.memory_store.marked_life import DAYS, Life, everything, found_in, image_or_none, live
from tests.unit.memory_store.steps import day, say

ANN, BOB, EVE = UserKey("acme", "ann"), UserKey("acme", "bob"), UserKey("other", "ann")


@pytest.fixture(params=["journal", "commit"])
def storage(request: pytest.FixtureRequest) -> StorageSettings:
    return StorageSettings(request.param)


def lives(store: MemoryStore) -> tuple[Life, Life, Life]:
    return live(store, ANN), live(store, BOB), live(store, EVE)


def require_found(store: MemoryStore, folder: Path, *found: Life) -> None:
    """The search finds every mark while it is there: that it finds none later says something."""
    store.flush()
    for life in found:
        assert found_in(folder, life.marks.made.values()) == set(life.marks.made.values())


def reopened(store: MemoryStore, folder: Path, storage: StorageSettings) -> list[Callable[[], MemoryStore]]:
    """The store as it is, with nobody in memory, and opened anew."""

    def evicted() -> MemoryStore:
        store.evict()
        return store

    return [lambda: store, evicted, lambda: open_store(folder, storage=storage)]


ERASE: dict[str, Callable[[MemoryStore], Receipt]] = {
    "user": lambda store: store.eraser.erase_user(ANN),
    "tenant": lambda store: store.eraser.erase_tenant("acme"),
}


@pytest.mark.parametrize("scope", ERASE)
def test_a_user_or_a_tenant_leaves_no_byte(tmp_path: Path, scope: str, storage: StorageSettings) -> None:
    store = open_store(tmp_path, storage=storage)
    ann, bob, eve = lives(store)
    require_found(store, tmp_path, ann, bob, eve)
    gone, kept = ([ann], [bob, eve]) if scope == "user" else ([ann, bob], [eve])
    before = [everything(store, life) for life in kept]
    receipt = ERASE[scope](store)
    assert (receipt.scope, receipt.tenant, receipt.images) == (scope, "acme", (DAYS + 1) * len(gone))
    assert receipt.rows["turns"] == DAYS * len(gone) and receipt.rows["semantic"] == 2 * DAYS * len(gone)
    assert store.eraser.receipts("acme") == (receipt,) and store.eraser.receipts("other") == ()
    for again in reopened(store, tmp_path, storage):
        store = again()
        for life in gone:
            assert found_in(tmp_path, life.marks.made.values()) == set()
            assert nothing(everything(store, life))
        assert [everything(store, life) for life in kept] == before
        assert store.users() == tuple(life.user for life in kept)
    require_found(store, tmp_path, *kept)
    assert say(store, ANN, 0, "back again").index == 0


def nothing(answers: dict[str, object]) -> bool:
    """Whether a user's answers are those of one of whom nothing was ever stored."""
    profiles = [answer for name, answer in answers.items() if name.startswith("profile")]
    others = [answer for name, answer in answers.items() if not name.startswith("profile")]
    images = answers["image"]
    assert isinstance(images, list)
    return (
        all(profile.version == 0 for profile in profiles)  # type: ignore[attr-defined]
        and not any(images)
        and not any(answer for answer in others if answer is not images)
    )


def test_a_range_takes_its_turns_and_all_that_rests_on_them(tmp_path: Path, storage: StorageSettings) -> None:
    store = open_store(tmp_path, storage=storage)
    ann, bob, eve = lives(store)
    require_found(store, tmp_path, ann, bob, eve)
    before = [everything(store, life) for life in (bob, eve)]
    receipt = store.eraser.erase_range(ANN, Window(day(1), day(2)))
    assert (receipt.rows["turns"], receipt.rows["semantic"], receipt.rows["profile"]) == (2, 4, 2)
    assert receipt.images == 2
    gone = ann.marks.of("day 1 ") + ann.marks.of("day 2 ")
    kept = set(ann.marks.made.values()) - set(gone)
    for again in reopened(store, tmp_path, storage):
        store = again()
        assert found_in(tmp_path, gone) == set() and found_in(tmp_path, kept) == kept
        assert [turn.event_time for turn in store.turns(ANN)] == [day(0), day(3), day(4)]
        assert {memory.event_time for memory in store.memories(ANN)} == {day(0), day(3), day(4)}
        assert not any(mark in repr(everything(store, ann)) for mark in gone)
        assert image_or_none(store, ANN, ann.shared_image)
        assert [bool(image_or_none(store, ANN, ref)) for ref in ann.own_images] == [1, 0, 0, 1, 1]
        assert [everything(store, life) for life in (bob, eve)] == before
    assert [turn.index for turn in store.turns(ANN)] == sorted({turn.index for turn in store.turns(ANN)})
    assert say(store, ANN, 9_000, "after").index == 5


def test_a_memory_goes_in_all_its_versions(tmp_path: Path, storage: StorageSettings) -> None:
    store = open_store(tmp_path, storage=storage)
    ann, bob, _ = lives(store)
    only_here = store.put_image(ANN, b"\x89PNG" + ann.marks("memory image bytes").encode(), "image/png", 1, 1)
    add = Add(ann.marks("memory text"), day(0), (ann.turns[0].id,), images=(only_here, ann.shared_image))
    (memory,) = store.apply(ANN, MemoryKind.SEMANTIC, "by hand", [add])
    store.index(ANN)
    require_found(store, tmp_path, ann, bob)
    before = everything(store, bob)
    others = [store.history(ANN, fact.id) for fact in ann.facts[1:]]
    store.eraser.erase_memory(ANN, memory.id)
    store.eraser.erase_memory(ANN, ann.facts[0].id)
    gone = ann.marks.of("memory") + ann.marks.of("day 0 semantic")
    kept = set(ann.marks.made.values()) - set(gone)
    for again in reopened(store, tmp_path, storage):
        store = again()
        assert found_in(tmp_path, gone) == set() and found_in(tmp_path, kept) == kept
        for id in (memory.id, ann.facts[0].id):
            with pytest.raises(NotFoundError):
                store.history(ANN, id)
        assert [store.history(ANN, fact.id) for fact in ann.facts[1:]] == others
        assert image_or_none(store, ANN, only_here) is None
        assert image_or_none(store, ANN, ann.own_images[0]), "the turn of day 0 shows it"
        assert image_or_none(store, ANN, ann.shared_image)
        assert (store.turns(ANN), everything(store, bob)) == (tuple(ann.turns), before)
    with pytest.raises(NotFoundError):
        store.eraser.erase_memory(ANN, memory.id)


def test_what_nobody_refers_to_goes_with_its_tenant(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    for user in (ANN, EVE):
        store.put_image(user, b"\x89PNG of a user without a row", "image/png", 1, 1)
    assert store.eraser.erase_tenant("acme").images == 1
    left = [path for path in (tmp_path / "media").rglob("*") if path.is_file()]
    assert len(left) == 1 and store.eraser.erase_user(EVE).images == 1


def test_words_that_somebody_else_said_may_stay(tmp_path: Path) -> None:
    words = "the very same words, said by more than one"
    store = open_store(tmp_path)
    say(store, ANN, 0, words)
    store.flush()
    turn = say(store, BOB, 0, "see what I think")
    store.append_turn(BOB, TurnDraft("a", "b", day(1), thinking=f"Ann said: {words}"))
    assert store.eraser.erase_user(ANN).rows == {"turns": 1}
    say(store, ANN, 0, words)
    add = Add("a cat", day(1), (turn.id,), reason=f"because of {words}", keywords=(words,))
    store.apply(BOB, MemoryKind.SEMANTIC, "s", [add])
    assert store.eraser.erase_user(ANN).rows == {"turns": 1}  # Bob's are still on their way into the table
    assert len(store.turns(BOB)) == 2 and len(store.memories(BOB)) == 1


def test_words_in_another_caption_may_stay(tmp_path: Path) -> None:
    words = "a brown dog on a long beach with a red ball"
    store = open_store(tmp_path)
    image = store.put_image(ANN, b"\x89PNG dog", "image/png", 1, 1, words)
    turn = store.append_turn(ANN, TurnDraft("look", "nice", day(0), (image,)))
    (memory,) = store.apply(ANN, MemoryKind.SEMANTIC, "s", [Add(words, day(0), (turn.id,))])
    assert store.eraser.erase_memory(ANN, memory.id).rows == {"semantic": 1}
    assert store.turns(ANN) == (turn,)


def test_nothing_is_confirmed_while_a_byte_is_left(tmp_path: Path) -> None:
    words = "words that somebody has copied elsewhere"
    store = open_store(tmp_path)
    say(store, ANN, 0, words)
    copy = tmp_path / "copy.txt"
    copy.write_text(f"... {words} ...")
    with pytest.raises(DamagedError, match=copy.name):
        store.eraser.erase_user(ANN)
    assert store.eraser.receipts("acme") == ()
    with pytest.raises(BusyError):
        store.turns(ANN)
    copy.unlink()
    store = open_store(tmp_path)
    assert store.turns(ANN) == () and len(store.eraser.receipts("acme")) == 1


# erasures that do not get to their end


@pytest.mark.parametrize("scope", ["user", "tenant"])
@pytest.mark.parametrize("reached", ["noted", "rows hidden"])
def test_an_erasure_that_was_cut_off_is_finished_at_the_next_opening(
    tmp_path: Path, scope: str, reached: str
) -> None:
    store = open_store(tmp_path)
    ann, _, eve = lives(store)
    require_found(store, tmp_path, ann, eve)
    before = everything(store, eve)
    close_stores(tmp_path)
    plan = Plan.of_user("1", ANN, day(0)) if scope == "user" else Plan.of_tenant("1", "acme", day(0))
    (tmp_path / "erasures").mkdir(exist_ok=True)
    (tmp_path / "erasures" / "1.json").write_text(plan.model_dump_json())
    if reached == "rows hidden":  # as far as a new version of each table, the older ones still there
        for folder in tmp_path.glob("*.lance"):
            condition = f"uid = {quoted(uid_of(ANN))}" if scope == "user" else "tenant = 'acme'"
            lancedb.connect(tmp_path).open_table(folder.stem).delete(condition)
    store = open_store(tmp_path)
    assert nothing(everything(store, ann))
    assert found_in(tmp_path, ann.marks.made.values()) == set()
    assert [receipt.id for receipt in store.eraser.receipts("acme")] == ["1"]
    assert not list((tmp_path / "erasures").glob("*"))
    assert everything(store, eve) == before


def test_what_a_write_left_that_was_cut_off_goes_too(tmp_path: Path) -> None:
    """Rows that were never acknowledged, in a data file that no version refers to."""
    store = open_store(tmp_path, storage=StorageSettings("commit"))
    words = "something that was said and never stored"
    say(store, BOB, 0, words)
    close_stores(tmp_path)
    table = tmp_path / "turns.lance"
    newest = min((table / "_versions").glob("*.manifest"))
    newest.unlink()
    assert found_in(tmp_path, [words])
    store = open_store(tmp_path)
    store.eraser.erase_user(BOB)
    assert not found_in(tmp_path, [words])


def test_who_is_half_erased_is_not_served_before_the_rest_is_done(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    ann, bob, _ = lives(store)
    store.flush()
    before = everything(store, bob)
    with Blocked(tmp_path, "turns"):
        with pytest.raises(UNREADABLE):
            store.eraser.erase_user(ANN)
        for act in (lambda: say(store, ANN, 9_000, "too early"), lambda: store.turns(ANN)):
            with pytest.raises(BusyError):
                act()
        with pytest.raises(BusyError):
            store.eraser.erase_user(ANN)
        assert store.memories(BOB)
    assert store.eraser.erase_user(ANN).rows == {}
    assert found_in(tmp_path, ann.marks.made.values()) == set()
    later = say(store, ANN, 0, "this stays")
    assert open_store(tmp_path).turns(ANN) == (later,)
    assert everything(open_store(tmp_path), bob) == before


def test_a_store_opens_though_an_erasure_cannot_be_finished(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    turn = say(store, BOB, 0, "of bob")
    store.apply(ANN, MemoryKind.CORE, "s", [Add("of ann", day(0), (), key="k")])
    close_stores(tmp_path)
    plan = Plan.of_user("1", ANN, day(0))
    (tmp_path / "erasures").mkdir(exist_ok=True)
    (tmp_path / "erasures" / "1.json").write_text(plan.model_dump_json())
    with Blocked(tmp_path, "core", readable=True):
        store = open_store(tmp_path)
        assert store.turns(BOB) == (turn,)
        with pytest.raises(BusyError):
            store.memories(ANN)
    assert store.eraser.erase_user(ANN).rows == {}
    assert store.memories(ANN) == ()
