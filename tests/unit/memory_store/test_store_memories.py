from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from personavlm.memory_store import (
    Add,
    AnyMemory,
    CoreMemory,
    Delete,
    EpisodicMemory,
    ImageRef,
    InvalidError,
    MemoryKind,
    MemoryStore,
    NotFoundError,
    Operation,
    Profile,
    SemanticMemory,
    Turn,
    TurnDraft,
    Update,
    UserKey,
    Window,
)

NewUser = Callable[[], UserKey]
START = datetime(2026, 3, 1, 9, tzinfo=UTC)
CORE, SEMANTIC, EPISODIC, PROCEDURAL = MemoryKind


def day(number: float) -> datetime:
    return START + timedelta(days=number)


@pytest.fixture
def user(new_user: NewUser) -> UserKey:
    return new_user()


@pytest.fixture
def turns(store: MemoryStore, user: UserKey) -> tuple[Turn, ...]:
    return store.append_turns(user, [TurnDraft(f"day {n}", "ok", event_time=day(n)) for n in range(5)])[0]


def add(store: MemoryStore, user: UserKey, kind: MemoryKind, source: str, operation: Operation) -> AnyMemory:
    return store.apply(user, kind, source, [operation])[-1]


def test_each_kind_keeps_its_fields(store: MemoryStore, user: UserKey, turns: tuple[Turn, ...]) -> None:
    image = store.put_image(user, b"cup", "image/webp", 2, 2, "a cup")
    evidence = (turns[1].id, turns[2].id)
    core = add(store, user, CORE, "s", Add("Mia", day(0), evidence, "said so", key="name", block="human"))
    assert isinstance(core, CoreMemory) and (core.key, core.block, core.text) == ("name", "human", "Mia")
    assert (core.event_time, core.revised_at, core.evidence) == (day(0), day(2), evidence)
    assert (core.version, core.reason, core.source, core.valid_to) == (1, "said so", "s", None)
    semantic = add(
        store,
        user,
        SEMANTIC,
        "s",
        Add("has a cup", day(1), evidence, category="concept", keywords=("cup",), images=(image,)),
    )
    assert isinstance(semantic, SemanticMemory) and semantic.images == (image,)
    assert (semantic.category, semantic.keywords) == ("concept", ("cup",))
    episode = add(
        store,
        user,
        EPISODIC,
        "s",
        Add("tea talk", day(1), evidence, keywords=("tea",), session=turns[1].id, end_time=day(2)),
    )
    assert isinstance(episode, EpisodicMemory) and (episode.session, episode.end_time) == (
        turns[1].id,
        day(2),
    )
    habit = add(store, user, PROCEDURAL, "s", Add("runs at dawn", day(1), evidence, key="running"))
    kinds = {memory.id[:2]: memory.kind for memory in (core, semantic, episode, habit)}
    assert kinds == {"c_": CORE, "s_": SEMANTIC, "e_": EPISODIC, "p_": PROCEDURAL}
    assert store.memories(user) == (core, semantic, episode, habit)
    assert store.memory(user, habit.id) == habit and store.memories(user, SEMANTIC) == (semantic,)


def test_a_step_is_applied_once(store: MemoryStore, user: UserKey, turns: tuple[Turn, ...]) -> None:
    operations = [Add(f"fact {n}", day(n), (turns[n].id,)) for n in range(3)]
    assert not store.applied(user, SEMANTIC, "turn:a")
    first = store.apply(user, SEMANTIC, "turn:a", operations)
    assert len(first) == 3 and store.applied(user, SEMANTIC, "turn:a")
    assert store.apply(user, SEMANTIC, "turn:a", [Delete(first[0].id, day(4), "no")]) == first
    assert store.memories(user, SEMANTIC) == first
    assert not store.applied(user, EPISODIC, "turn:a")


def test_a_step_that_writes_nothing_is_applied_too(store: MemoryStore, user: UserKey) -> None:
    assert store.apply(user, SEMANTIC, "turn:a", []) == ()
    store.flush()
    store.evict()  # so that the tables answer
    assert store.applied(user, SEMANTIC, "turn:a")
    assert store.apply(user, SEMANTIC, "turn:a", [Add("too late", day(0), ())]) == ()
    assert store.memories(user, include_ended=True) == ()


def test_ids_depend_on_user_kind_source_and_place_alone(store: MemoryStore, new_user: NewUser) -> None:
    def ids(user: UserKey, source: str) -> list[str]:
        return [
            m.id for m in store.apply(user, SEMANTIC, source, [Add("a", day(0), ()), Add("a", day(0), ())])
        ]

    user = new_user()
    found = ids(user, "one") + ids(user, "two") + ids(new_user(), "one")
    assert len(set(found)) == 6 and all(len(id) == 28 for id in found)


def test_superseding_closes_the_old_interval(
    store: MemoryStore, user: UserKey, turns: tuple[Turn, ...]
) -> None:
    old = add(store, user, SEMANTIC, "one", Add("drinks Sprite", day(0), (turns[0].id,)))
    new = Add("drinks cola", day(3), (turns[3].id,), "changed", supersedes=old.id)
    closed, successor = store.apply(user, SEMANTIC, "two", [new])
    assert (closed.id, closed.version, closed.text) == (old.id, 2, "drinks Sprite")
    assert (closed.valid_to, closed.superseded_by) == (day(3), successor.id)
    assert (closed.event_time, closed.revised_at, closed.evidence) == (day(0), day(3), old.evidence)
    assert store.memories(user, SEMANTIC) == (successor,)
    assert store.memories(user, SEMANTIC, include_ended=True) == (closed, successor)
    assert store.history(user, old.id) == (old, closed)
    for operation in (new, Update(old.id, "x", day(4), ())):
        with pytest.raises(InvalidError):
            store.apply(user, SEMANTIC, "three", [operation])


def test_update_and_delete_add_versions(store: MemoryStore, user: UserKey, turns: tuple[Turn, ...]) -> None:
    first = add(store, user, PROCEDURAL, "one", Add("runs", day(0), (turns[0].id,), key="sport"))
    second = add(store, user, PROCEDURAL, "two", Update(first.id, "swims", day(2), (turns[2].id,), "why"))
    assert (second.version, second.text, second.event_time, second.revised_at) == (2, "swims", day(2), day(2))
    third = add(store, user, PROCEDURAL, "three", Delete(first.id, day(3), "gave it up", (turns[3].id,)))
    assert third.deleted and third.text == "swims" and third.reason == "gave it up"
    assert store.memories(user, include_ended=True) == ()
    assert store.history(user, first.id) == (first, second, third)
    with pytest.raises(NotFoundError):
        store.memory(user, first.id)


def test_operations_of_one_step_see_each_other(store: MemoryStore, user: UserKey) -> None:
    first = add(store, user, CORE, "one", Add("Mia", day(0), (), key="name"))
    versions = store.apply(
        user,
        CORE,
        "two",
        [
            Delete(first.id, day(1), "wrong"),
            Add("Mina", day(1), (), key="name"),
            Add("x", day(1), (), key="y"),
        ],
    )
    assert [m.deleted for m in versions] == [True, False, False]
    assert [m.text for m in store.memories(user, CORE)] == ["Mina", "x"]


def test_a_version_is_never_known_before_the_one_it_follows(
    store: MemoryStore, user: UserKey, turns: tuple[Turn, ...]
) -> None:
    first = add(store, user, SEMANTIC, "one", Add("a", day(0), (turns[4].id,)))
    second = add(store, user, SEMANTIC, "two", Update(first.id, "b", day(1), (turns[1].id,)))
    assert second.revised_at == first.revised_at == day(4)


def test_a_step_of_a_session_is_known_when_the_session_ended(store: MemoryStore, user: UserKey) -> None:
    drafts = [TurnDraft("a", "b", event_time=START + timedelta(minutes=m)) for m in (0, 30)]
    (first, last), _ = store.append_turns(user, drafts)
    memory = add(store, user, CORE, f"session:{first.id}", Add("a", day(0), (first.id,), key="k"))
    assert memory.revised_at == last.event_time


def test_an_episode_grows_but_keeps_its_beginning(
    store: MemoryStore, user: UserKey, turns: tuple[Turn, ...]
) -> None:
    first = add(store, user, EPISODIC, "one", Add("a", day(0), (turns[0].id,), end_time=day(1)))
    both = (turns[0].id, turns[2].id)
    second = add(store, user, EPISODIC, "two", Update(first.id, "ab", day(2), both))
    assert isinstance(second, EpisodicMemory) and second.evidence == both
    assert (second.event_time, second.end_time) == (day(0), day(2))


NAMED = Add("Mia", day(0), (), key="name")


@pytest.mark.parametrize(
    ("kind", "operation", "error"),
    [
        (SEMANTIC, Add(" ", day(0), ()), InvalidError),
        (SEMANTIC, Add("a", day(0), ("t_unknown",)), InvalidError),
        (SEMANTIC, Add("a", day(0), (), supersedes="s_unknown"), InvalidError),
        (SEMANTIC, Add("a", day(0), (), images=(ImageRef("0" * 64, "image/png", 1, 1),)), InvalidError),
        (SEMANTIC, Add("a \udfff", day(0), ()), InvalidError),
        (SEMANTIC, Add("a", datetime(2026, 3, 1), ()), ValueError),
        (CORE, Add("Max", day(0), (), key="name"), InvalidError),
        (CORE, Add("Max", day(0), (), key=" "), InvalidError),
        (PROCEDURAL, Add("runs", day(0), ()), InvalidError),
        (EPISODIC, Add("a", day(0), (), end_time=day(1)), InvalidError),
        (SEMANTIC, Update("s_unknown", "a", day(0), ()), InvalidError),
        (SEMANTIC, Delete("s_unknown", day(0), "r"), InvalidError),
    ],
)
def test_one_bad_operation_undoes_the_step(
    store: MemoryStore, user: UserKey, kind: MemoryKind, operation: Operation, error: type[Exception]
) -> None:
    core = add(store, user, CORE, "name", NAMED)
    good = Add("fine", day(0), (store.append_turn(user, TurnDraft("a", "b")).id,), key="good")
    with pytest.raises(error):
        store.apply(user, kind, "step", [good, operation])
    assert not store.applied(user, kind, "step")
    assert store.memories(user, include_ended=True) == (core,)


def test_operations_reach_neither_other_users_nor_other_kinds(store: MemoryStore, new_user: NewUser) -> None:
    user, other = new_user(), new_user()
    memory = add(store, user, CORE, "name", NAMED)
    for who, kind in ((other, CORE), (user, SEMANTIC)):
        with pytest.raises(InvalidError):
            store.apply(who, kind, "step", [Delete(memory.id, day(1), "r")])
    with pytest.raises(NotFoundError):
        store.history(other, memory.id)


def test_a_source_is_needed(store: MemoryStore, user: UserKey) -> None:
    with pytest.raises(InvalidError):
        store.apply(user, CORE, "", [NAMED])


# profile, progress, timeline


def test_profiles_are_numbered_and_stored_once(store: MemoryStore, user: UserKey) -> None:
    start, turn = store.profile(user), store.append_turn(user, TurnDraft("hello", "ok"))
    assert (start.version, start.cause, start.traits) == (0, "start", (3.0,) * 5)
    draft = Profile(
        version=start.version,
        traits=(3.5, 3, 2, 3, 3.25),
        cause="inferred",
        inferred=(4, 3, 1, 3, 3),
        smoothing=0.5,
        evidence=(turn.id,),
        source=f"turn:{turn.id}",
        event_time=day(1),
        recorded_at=day(9),
    )
    first = store.save_profile(user, draft)
    assert first == replace(draft, version=1, recorded_at=first.recorded_at) != draft
    assert store.save_profile(user, replace(draft, traits=(1, 1, 1, 1, 1))) == first
    reset = replace(draft, source="", cause="reset")
    assert [store.save_profile(user, reset).version for _ in range(2)] == [2, 3]
    assert [profile.version for profile in store.profile_history(user)] == [1, 2, 3]
    assert store.profile(user).version == 3


def test_traits_blended_with_an_older_profile_are_not_stored(store: MemoryStore, user: UserKey) -> None:
    before = store.profile(user)
    reset = store.save_profile(user, replace(before, cause="reset"))
    late = replace(before, cause="inferred", traits=(5.0,) * 5, source="turn:t_x")
    assert store.save_profile(user, late) == reset
    assert store.profile_history(user) == (reset,)
    assert store.save_profile(user, replace(late, version=reset.version)).traits == (5.0,) * 5


def test_traits_are_not_stored_once_their_evidence_is_erased(store: MemoryStore, user: UserKey) -> None:
    before, turn = store.profile(user), store.append_turn(user, TurnDraft("hello", "ok"))
    store.eraser.erase_user(user)
    late = replace(before, cause="inferred", evidence=(turn.id,), source=f"turn:{turn.id}")
    assert store.save_profile(user, late) == before
    assert user not in store.users()


def test_the_context_honours_withdrawn_consent(store: MemoryStore, user: UserKey) -> None:
    withdrawn = Profile(version=0, consent=False, cause="consent", event_time=day(0), recorded_at=day(0))
    store.save_profile(user, withdrawn)
    assert store.context(user, day(1)).personality is None


def test_the_timeline_lists_what_touches_the_window(
    store: MemoryStore, user: UserKey, turns: tuple[Turn, ...]
) -> None:
    episode = add(store, user, EPISODIC, "e", Add("talk", day(0), (turns[0].id,), end_time=day(2)))
    old = add(store, user, SEMANTIC, "a", Add("old", day(2.5), ()))
    new = add(store, user, SEMANTIC, "b", Add("new", day(3.5), (), supersedes=old.id))
    gone = add(store, user, SEMANTIC, "c", Add("gone", day(2.6), ()))
    store.apply(user, SEMANTIC, "d", [Delete(gone.id, day(3), "r")])
    window = Window(day(1), day(3.5))
    assert [entry.id for entry in store.timeline(user, window, newest_first=False)] == [
        episode.id,
        turns[1].id,
        turns[2].id,
        old.id,
        turns[3].id,
        new.id,
    ]
    assert [entry.id for entry in store.timeline(user, window, limit=2)] == [new.id, turns[3].id]
    firsts = [(e.kind, e.text, e.time) for e in store.timeline(user, newest_first=False)[:1]]
    assert firsts == [("turn", "day 0", day(0))]
