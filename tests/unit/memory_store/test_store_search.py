"""What a search brings: window, widening, exclusion, budget."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from personavlm.memory_store import (
    Add,
    Delete,
    Hit,
    MemoryKind,
    MemoryStore,
    SearchRequest,
    TurnDraft,
    Update,
    UserKey,
    Window,
)
from personavlm.memory_store.retrieval.diversity import DIVERSITY
from personavlm.memory_store.retrieval.search import SUPERSEDED_PENALTY
from tests.unit.memory_store.places import examples
from tests.unit.memory_store.steps import day, ids, remember, say

NewUser = Callable[[], UserKey]
CORE, SEMANTIC, EPISODIC, PROCEDURAL = MemoryKind
EXAMPLES = settings(max_examples=examples(30), deadline=None)


@pytest.fixture
def user(new_user: NewUser) -> UserKey:
    return new_user()


# Spans in days; a turn or a fact uses the beginning alone.
SPANS = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 4)), max_size=8)
WINDOWS = st.builds(
    lambda start, length: Window(
        None if start is None else day(start), None if length is None else day((start or 0) + length)
    ),
    st.none() | st.integers(0, 60),
    st.none() | st.integers(0, 20),
)


def widened(window: Window) -> Window:
    days = 7.0
    if window.start and window.end:
        days = max(days, (window.end - window.start) / timedelta(days=1))
    margin = timedelta(days=days)
    return Window(window.start and window.start - margin, window.end and window.end + margin)


def check(
    kind: str,
    hits: tuple[Hit, ...],
    spans: dict[str, tuple[datetime, datetime]],
    window: Window,
    k: int,
    marked: tuple[str, ...],
) -> None:
    inside = {id for id, span in spans.items() if window.overlaps(*span)}
    around = {id for id, span in spans.items() if widened(window).overlaps(*span)} - inside
    found_inside = {hit.item.id for hit in hits if not hit.outside_window}
    found_outside = {hit.item.id for hit in hits if hit.outside_window}
    assert found_inside <= inside and len(found_inside) == min(k, len(inside))
    assert found_outside <= around and len(found_outside) == min(k - len(found_inside), len(around))
    assert (kind in marked) == (len(inside) < k and window != Window())
    assert [hit.item.event_time for hit in hits] == sorted(hit.item.event_time for hit in hits)
    assert len(set(ids(hits))) == len(hits)


@EXAMPLES
@given(turns=SPANS, facts=SPANS, episodes=SPANS, window=WINDOWS, k=st.integers(0, 4))
def test_the_window_filter_equals_brute_force(
    store: MemoryStore,
    new_user: NewUser,
    turns: list[tuple[int, int]],
    facts: list[tuple[int, int]],
    episodes: list[tuple[int, int]],
    window: Window,
    k: int,
) -> None:
    user = new_user()
    anchor = say(store, user, 500, "far away")
    said = {
        say(store, user, start, f"tea {n}").id: (day(start), day(start)) for n, (start, _) in enumerate(turns)
    }
    said[anchor.id] = (day(500), day(500))
    adds = [Add(f"tea {n}", day(start), ()) for n, (start, _) in enumerate(facts)]
    known = {m.id: (m.event_time, m.event_time) for m in store.apply(user, SEMANTIC, "facts", adds)}
    spans = [(day(start), day(start + length)) for start, length in episodes]
    adds = [Add(f"tea {n}", begin, (anchor.id,), end_time=end) for n, (begin, end) in enumerate(spans)]
    lived = dict(zip((m.id for m in store.apply(user, EPISODIC, "episodes", adds)), spans, strict=True))
    request = SearchRequest(
        "tea", "tea 3", window, k_semantic=k, k_episodic=k, k_turns=k, turns_token_budget=0
    )
    found = store.search(user, request)
    check("semantic", found.semantic, known, window, k, found.widened)
    check("episodic", found.episodic, lived, window, k, found.widened)
    check("turn", found.turns, said, window, k, found.widened)


def live(store: MemoryStore, user: UserKey, texts: list[str]) -> None:
    """Each text is said on a day of its own, and remembered as every kind."""
    for number, text in enumerate(texts):
        turn = say(store, user, number, text)
        for kind in (SEMANTIC, EPISODIC, PROCEDURAL):
            remember(store, user, kind, Add(f"{text} {number}", day(number), (turn.id,), key=turn.id))


@EXAMPLES
@given(
    texts=st.lists(st.sampled_from(["tea", "tea cake", "cake", "run far", "tea run"]), max_size=9),
    k=st.integers(1, 4),
)
def test_what_was_seen_makes_room_for_what_was_not(
    store: MemoryStore, new_user: NewUser, texts: list[str], k: int
) -> None:
    user = new_user()
    live(store, user, texts)
    everything = SearchRequest("tea", "cake", k_semantic=99, k_episodic=99, k_procedural=99, k_turns=99)
    best = store.search(user, everything)
    most = (
        DIVERSITY.facets + DIVERSITY.repeats + 1e-3
    )  # what a text can gain on another by being unlike others
    seen: frozenset[str] = frozenset()
    request = SearchRequest("tea", "cake", k_semantic=k, k_episodic=k, k_procedural=k, k_turns=k)
    for group in ("semantic", "episodic", "procedural", "turns"):
        left = {hit.item.id: hit.score for hit in getattr(best, group)}
        seen = frozenset()
        while left:
            fields = {
                name: getattr(request, name) for name in ("keywords", "query", "k_semantic", "k_procedural")
            }
            # Episodes would bring turns of their own.
            fields |= {"k_episodic": k if group == "episodic" else 0, "k_turns": k}
            found = getattr(store.search(user, SearchRequest(**fields, exclude=seen)), group)
            assert len(found) == min(k, len(left))
            assert not seen & set(ids(found))
            worst = min(hit.score for hit in found)
            seen |= set(ids(found))
            left = {id: score for id, score in left.items() if id not in seen}
            assert all(score <= worst + most for score in left.values())


@EXAMPLES
@given(texts=st.lists(st.sampled_from(["tea", "tea cake", "cake", "run far", "tea run"]), max_size=9))
def test_a_kind_alone_is_found_as_among_the_others(
    store: MemoryStore, new_user: NewUser, texts: list[str]
) -> None:
    user = new_user()
    live(store, user, texts)
    asked: dict[str, Any] = dict.fromkeys(
        ("k_semantic", "k_episodic", "k_procedural", "k_visual", "k_turns"), 3
    )
    everything = store.search(user, SearchRequest("tea", "cake", turns_token_budget=0, **asked))
    for name in asked:
        group = "turns" if name == "k_turns" else name.removeprefix("k_")
        visual = 3 if name == "k_semantic" else 0  # what is shown as visual is not shown again
        only: dict[str, Any] = {**dict.fromkeys(asked, 0), "k_visual": visual, name: 3}
        alone = store.search(user, SearchRequest("tea", "cake", turns_token_budget=0, **only))
        assert getattr(alone, group) == getattr(everything, group)


def test_a_superseded_fact_goes_after_its_successor(store: MemoryStore, user: UserKey) -> None:
    old = remember(store, user, SEMANTIC, Add("likes Sprite to drink", day(0), ()))
    new = remember(store, user, SEMANTIC, Add("likes cola to drink", day(30), (), supersedes=old.id))
    both = store.search(user, SearchRequest("drink", "what do I like to drink"))
    assert ids(both.semantic) == [old.id, new.id]
    assert both.semantic[0].score < both.semantic[1].score
    assert ids(store.search(user, SearchRequest("drink", k_semantic=1)).semantic) == [new.id]
    then = store.search(user, SearchRequest("drink", window=Window(day(0), day(7)), k_semantic=1))
    assert ids(then.semantic) == [old.id] and "semantic" not in then.widened
    asked = store.search(user, SearchRequest("drink", "what do I like to drink", Window(day(0), day(40))))
    scores = [hit.score for hit in asked.semantic]
    assert scores == [pytest.approx(both.semantic[0].score + SUPERSEDED_PENALTY), both.semantic[1].score]


def test_a_deleted_memory_is_never_found(store: MemoryStore, user: UserKey) -> None:
    turn = say(store, user, 0, "hello")
    for kind in (SEMANTIC, EPISODIC, PROCEDURAL):
        memory = remember(store, user, kind, Add("tea", day(0), (turn.id,), key="k"))
        store.apply(user, kind, "forget", [Delete(memory.id, day(1), "wrong")])
    found = store.search(
        user, SearchRequest("tea", window=Window(day(0), day(1)), exclude=frozenset({turn.id}))
    )
    assert found.ids() == frozenset()


def test_procedural_memory_is_found_whatever_the_window(store: MemoryStore, user: UserKey) -> None:
    old = remember(store, user, PROCEDURAL, Add("learns piano", day(0), (), key="music"))
    new = remember(store, user, PROCEDURAL, Add("learns violin", day(1), (), key="music", supersedes=old.id))
    found = store.search(user, SearchRequest("music", window=Window(day(50), day(51))))
    assert ids(found.procedural) == [new.id] and not found.procedural[0].outside_window
    assert "procedural" not in found.widened


def test_an_updated_text_is_found_by_its_new_words(store: MemoryStore, user: UserKey) -> None:
    memory = remember(store, user, SEMANTIC, Add("plays chess", day(0), ()))
    other = remember(store, user, SEMANTIC, Add("likes pasta", day(0), ()))
    store.apply(user, SEMANTIC, "update", [Update(memory.id, "plays tennis", day(1), ())])
    assert ids(store.search(user, SearchRequest("tennis", k_semantic=1)).semantic) == [memory.id]
    assert ids(store.search(user, SearchRequest("pasta", k_semantic=1)).semantic) == [other.id]


# turns


def test_a_turn_is_found_by_what_either_side_said_or_showed(store: MemoryStore, user: UserKey) -> None:
    image = store.put_image(user, b"x", "image/png", 1, 1, "a green bicycle")
    asked = say(store, user, 0, "where should I go?", "Lisbon is lovely")
    told = say(store, user, 1, "my sister is called Ada", "noted")
    shown = store.append_turn(user, TurnDraft("", "nice", event_time=day(2), images=(image,)))
    for words, turn in (("Lisbon", asked), ("sister Ada", told), ("bicycle", shown)):
        assert ids(store.search(user, SearchRequest(words, k_turns=1)).turns) == [turn.id]


def test_an_episode_brings_its_turns_best_first_within_the_budget(store: MemoryStore, user: UserKey) -> None:
    texts = ["we talked about rain", "tea with milk", "the bus was late", "green tea", "then home"]
    turns = [say(store, user, n / 100, text.ljust(40, "!")) for n, text in enumerate(texts)]
    episode = remember(store, user, EPISODIC, Add("tea", day(0), tuple(t.id for t in turns), end_time=day(1)))

    def found(budget: int, **fields: object) -> list[str]:
        request = SearchRequest("tea", "tea", k_turns=0, turns_token_budget=budget, **fields)  # type: ignore[arg-type]
        result = store.search(user, request)
        assert ids(result.episodic) == [episode.id]
        return ids(result.turns)

    everything = [turn.id for turn in turns]
    assert found(50) == everything and found(9) == []
    assert found(20) == [turns[1].id, turns[3].id]
    assert found(50, exclude=frozenset(everything[:2])) == everything[2:]
    assert found(50, window=Window(day(0.015), day(0.025))) == [turns[2].id]
    extra = store.search(user, SearchRequest("tea", "late bus", k_turns=1, turns_token_budget=20))
    assert len(extra.turns) == len(set(ids(extra.turns))) == 3


def test_a_turn_of_the_open_session_is_found_at_once(store: MemoryStore, user: UserKey) -> None:
    turn = store.append_turn(user, TurnDraft("my locker is 4711", "ok"))
    assert ids(store.search(user, SearchRequest("locker")).turns) == [turn.id]


def test_a_stranger_finds_nothing(store: MemoryStore, user: UserKey) -> None:
    found = store.search(user, SearchRequest("tea", "", Window(day(0), day(1))))
    assert found.ids() == frozenset() and "turn" in found.widened


def test_windows_at_the_ends_of_time(store: MemoryStore, user: UserKey) -> None:
    turn = say(store, user, 0, "tea")
    ends = Window(datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC))
    assert ids(store.search(user, SearchRequest("tea", window=ends)).turns) == [turn.id]
