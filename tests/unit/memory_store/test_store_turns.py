from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from personavlm.memory_store import (
    ImageRef,
    InvalidError,
    MemoryStore,
    NotFoundError,
    OutOfOrderError,
    Turn,
    TurnDraft,
    UserKey,
    estimate_tokens,
)
from tests.unit.memory_store.places import examples

NewUser = Callable[[], UserKey]
START = datetime(2026, 3, 1, 9, tzinfo=UTC)
GAP = timedelta(minutes=60)
FEW = settings(max_examples=examples(25), deadline=None)


def at(minutes: float, text: str = "hello", reply: str = "hi", **fields: object) -> TurnDraft:
    return TurnDraft(text, reply, event_time=START + timedelta(minutes=minutes), **fields)  # type: ignore[arg-type]


def sessions_of(turns: tuple[Turn, ...]) -> list[str]:
    return [turn.session for turn in turns]


def test_a_turn_keeps_all_that_the_draft_says(store: MemoryStore, new_user: NewUser) -> None:
    user = new_user()
    image = store.put_image(user, b"pixels", "image/png", 4, 3, "a red cup")
    tokyo = timezone(timedelta(hours=9))
    draft = TurnDraft("look", "nice", START.astimezone(tokyo), (image,), "thought", "rules", "client-1", 540)
    turn = store.append_turn(user, draft)
    assert (turn.user_text, turn.assistant_text, turn.images) == ("look", "nice", (image,))
    assert (turn.thinking, turn.model, turn.client_id, turn.utc_offset_minutes) == (
        "thought",
        "rules",
        "client-1",
        540,
    )
    assert turn.event_time == START and turn.event_time.tzinfo is UTC
    assert turn.index == 0 and turn.session == turn.id and turn.id.startswith("t_") and len(turn.id) == 28
    assert store.turn(user, turn.id) == store.newest_turn(user) == turn


@FEW
@given(gaps=st.lists(st.sampled_from([0, 1, 59, 59.999, 60, 61, 600]), min_size=1, max_size=12))
def test_a_session_ends_when_the_gap_is_reached(
    store: MemoryStore, new_user: NewUser, gaps: list[float]
) -> None:
    user, minute = new_user(), 0.0
    expected: list[str] = []
    for gap in gaps:
        minute += gap
        turn = store.append_turn(user, at(minute))
        opens = not expected or timedelta(minutes=gap) >= GAP
        expected.append(turn.id if opens else expected[-1])
    turns = store.turns(user)
    assert sessions_of(turns) == expected
    assert [turn.index for turn in turns] == list(range(len(gaps)))
    for session in set(expected):
        assert store.turns(user, session=session) == tuple(t for t in turns if t.session == session)


def test_turns_from_an_index(store: MemoryStore, new_user: NewUser) -> None:
    user = new_user()
    stored, new = store.append_turns(user, [at(minute) for minute in range(5)])
    assert new == 5 and store.turns(user, first_index=3) == stored[3:]
    assert store.turns(user, session="t_unknown") == ()


def test_a_turn_before_the_newest_is_refused_unless_allowed(store: MemoryStore, new_user: NewUser) -> None:
    user = new_user()
    store.append_turn(user, at(100))
    with pytest.raises(OutOfOrderError):
        store.append_turn(user, at(99))
    assert len(store.turns(user)) == 1
    late = store.append_turn(user, at(99, allow_past=True))
    assert late.index == 1 and late.session == late.id
    newest = store.newest_turn(user)
    assert newest and newest.index == 0


def test_a_late_turn_joins_the_open_session_only_if_it_had_begun(
    store: MemoryStore, new_user: NewUser
) -> None:
    user = new_user()
    first, last = store.append_turn(user, at(0)), store.append_turn(user, at(30))
    between = store.append_turn(user, at(15, allow_past=True))
    before = store.append_turn(user, at(-1, allow_past=True))
    after = store.append_turn(user, at(89))
    assert sessions_of((first, last, between, before, after)) == [
        first.id,
        first.id,
        first.id,
        before.id,
        first.id,
    ]


def test_a_live_turn_is_not_older_than_the_newest(store: MemoryStore, new_user: NewUser) -> None:
    user = new_user()
    future = store.append_turn(user, TurnDraft("a", "b", event_time=datetime(2030, 1, 1, tzinfo=UTC)))
    live = store.append_turn(user, TurnDraft("c", "d"))
    assert live.event_time == future.event_time and live.session == future.session
    assert live.recorded_at.year == 2026


def test_the_same_client_id_is_stored_once(store: MemoryStore, new_user: NewUser) -> None:
    user, other = new_user(), new_user()
    turn = store.append_turn(user, at(0, client_id="x"))
    assert store.append_turn(user, at(-50, "other text", client_id="x")) == turn
    assert store.append_turn(other, at(0, client_id="x")).id != turn.id
    turns, new = store.append_turns(user, [at(1, client_id="y"), at(0, client_id="x"), at(2, client_id="y")])
    assert new == 1 and turns == (turns[0], turn, turns[0])
    assert len(store.turns(user)) == 2


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (TurnDraft(" ", ""), InvalidError),
        (TurnDraft("a", "b", images=(ImageRef("0" * 64, "image/png", 1, 1),)), InvalidError),
        (TurnDraft("half \ud800 pair", "b"), InvalidError),
        (TurnDraft("a", "b", event_time=datetime(2026, 5, 5)), ValueError),
        (at(-5), OutOfOrderError),
    ],
)
def test_a_bad_turn_leaves_nothing_behind(
    store: MemoryStore, new_user: NewUser, bad: TurnDraft, error: type[Exception]
) -> None:
    user = new_user()
    first = store.append_turn(user, at(0))
    with pytest.raises(error):
        store.append_turns(user, [at(1), bad])
    assert store.turns(user) == (first,)
    assert store.append_turn(user, at(1)).index == 1


def test_ids_of_others_are_not_found(store: MemoryStore, new_user: NewUser) -> None:
    user, other = new_user(), new_user()
    turn = store.append_turn(user, at(0))
    with pytest.raises(NotFoundError):
        store.turn(other, turn.id)


# context


def test_the_context_of_a_stranger_is_empty(store: MemoryStore, new_user: NewUser) -> None:
    context = store.context(new_user(), START)
    assert not context.core and not context.open_session and context.turn_count == 0
    assert context.personality and context.personality.version == 0


@FEW
@given(
    lengths=st.lists(st.integers(0, 40), min_size=1, max_size=8),
    budget=st.integers(0, 60),
    idle=st.sampled_from([0, 59, 60]),
)
def test_the_open_session_holds_the_newest_turns_of_the_budget(
    store: MemoryStore, new_user: NewUser, lengths: list[int], budget: int, idle: int
) -> None:
    user = new_user()
    store.append_turn(user, at(-600, "an earlier session"))
    turns = [store.append_turn(user, at(i, "x" * n, "reply")) for i, n in enumerate(lengths)]
    context = store.context(user, turns[-1].event_time + timedelta(minutes=idle), budget)
    shown = list(context.open_session)
    if idle >= 60:
        assert shown == [] and context.omitted_turns == 0
    else:
        assert shown == turns[len(turns) - len(shown) :]
        assert sum(map(estimate_tokens, shown)) <= budget
        assert context.omitted_turns == len(turns) - len(shown)
        if context.omitted_turns:
            longer = turns[len(turns) - len(shown) - 1 :]
            assert sum(map(estimate_tokens, longer)) > budget
    assert context.turn_count == len(lengths) + 1


def test_tokens_are_a_quarter_of_the_characters(store: MemoryStore, new_user: NewUser) -> None:
    assert estimate_tokens(store.append_turn(new_user(), at(0, "x" * 9, "y" * 4))) == 4


def test_naive_times_are_refused(store: MemoryStore, new_user: NewUser) -> None:
    with pytest.raises(ValueError, match="no time zone"):
        store.context(new_user(), datetime(2026, 5, 5))
