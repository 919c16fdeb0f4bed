"""Episodes of one thread are linked, with what they share, and shown together."""

from collections.abc import Callable
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from personavlm.memory_store import (
    Add,
    AsOf,
    EpisodeLink,
    EpisodicMemory,
    MemoryStore,
    NotFoundError,
    UserKey,
)
from personavlm.memory_store.lifecycle.linker import MOST_EPISODES, thread_of
from personavlm.memory_store.lifecycle.links import MOST_LINKS, THRESHOLD, mentions
from personavlm.memory_store.working_set import WorkingSet
from tests.unit.memory_store.encoders import open_store
from tests.unit.memory_store.episodes import EPISODIC, episode, flat, links
from tests.unit.memory_store.places import examples
from tests.unit.memory_store.planted_threads import measure, plant
from tests.unit.memory_store.steps import day, say

NewUser = Callable[[], UserKey]
EXAMPLES = settings(max_examples=examples(25), deadline=None)


@pytest.fixture
def user(new_user: NewUser) -> UserKey:
    return new_user()


@pytest.mark.parametrize(("name", "precision", "continued"), [("fitted", 0.85, 0.7), ("held_out", 0.85, 0.7)])
def test_planted_matters_are_linked_by_their_words_alone(
    name: str, precision: float, continued: float
) -> None:
    figures = measure(name, range(30))
    assert figures.precision >= precision
    assert figures.continued >= continued


def test_names_are_told_from_beginnings_of_sentences() -> None:
    planted = plant("fitted", 0).episodes[0]
    said = mentions(
        EpisodicMemory(
            id="e",
            version=1,
            text="Yesterday Ana flew to Porto. Trains were late! 用户报名马拉松。",
            event_time=planted.event_time,
            end_time=planted.end_time,
            revised_at=planted.revised_at,
            recorded_at=planted.recorded_at,
            keywords=("Train strike", "马拉松"),
        )
    )
    assert said.names == {"ana", "porto"}
    assert said.capitals == {"ana", "porto", "train"}
    assert {"train", "strike", "马拉", "拉松"} == said.keywords
    assert said.words["train"] == "Trains"


def test_a_link_says_what_both_speak_of(store: MemoryStore, user: UserKey) -> None:
    first, _, second, _, third = flat(store, user)
    (link,) = links(store, user, second)
    assert (link.episode, link.related, link.source) == (second.id, first.id, second.source)
    assert set(link.shared) == {"flat", "balcony", "Linden", "Street"}
    assert THRESHOLD <= link.score <= 1
    assert link.event_time == second.revised_at
    assert {link.related for link in links(store, user, third)} == {first.id, second.id}


def test_chinese_episodes_are_linked_by_whole_words(store: MemoryStore, user: UserKey) -> None:
    episode(store, user, 1, "用户报名参加成都马拉松。", "马拉松, 成都")
    episode(store, user, 9, "用户问怎么煮溏心蛋。", "溏心蛋")
    second = episode(store, user, 40, "用户跑完了成都马拉松。", "马拉松, 完赛")
    (link,) = links(store, user, second)
    assert "马拉松" in "".join(link.shared) and "成都" in "".join(link.shared)


def test_what_is_always_spoken_of_links_nothing(store: MemoryStore, user: UserKey) -> None:
    written = [
        episode(store, user, number, f"Jonas spoke of {matter}.", f"Jonas, {matter}")
        for number, matter in enumerate(
            ("cheese", "trams", "opera", "taxes", "bees", "clouds", "chess", "moss", "wool", "rust", "tides")
        )
    ]
    assert links(store, user, written[-1]) == ()


def test_parts_of_one_session_are_not_linked(store: MemoryStore, user: UserKey) -> None:
    turns = [say(store, user, 1 + minute / 1440, "Linden Street flat") for minute in (0, 5)]
    written = [
        store.apply(
            user,
            EPISODIC,
            f"session:{turn.id}",
            [Add("A flat in Linden Street.", turn.event_time, (turn.id,), session=turn.session)],
        )[0]
        for turn in turns
    ]
    assert store.linker.link(user, written[1].source) == ()


# Days at which episodes happen, in the order in which they are told, and the names of which each speaks.
NAMES = ("Ana", "Porto", "Rex", "Nordwind")
LIVES = st.lists(
    st.tuples(st.integers(0, 80), st.sets(st.sampled_from(NAMES), min_size=1, max_size=3)), max_size=9
)


@EXAMPLES
@given(life=LIVES)
def test_the_laws_of_links(store: MemoryStore, new_user: NewUser, life: list[tuple[int, set[str]]]) -> None:
    user, other = new_user(), new_user()
    episode(store, other, 0, f"Somebody else met {' and '.join(NAMES)}.", ", ".join(NAMES))
    told = [
        episode(store, user, number, f"It was about {' and '.join(sorted(names))}.", ", ".join(names))
        for number, names in life
    ]
    known = {each.id: each for each in told}
    threads = {each.id: store.linker.thread(user, each.id) for each in told}
    for each in told:
        made = links(store, user, each)
        assert made == links(store, user, each)
        assert len(made) <= MOST_LINKS
        for link in made:
            older = known[link.related]
            assert (older.event_time, older.id) < (each.event_time, each.id)
            assert older.revised_at <= each.revised_at
            assert 0 < link.score <= 1 and link.shared
            words = (each.text + older.text).lower()
            assert all(word.lower() in words for word in link.shared)
        times = [entry.episode.event_time for entry in threads[each.id]]
        assert times == sorted(times)
        for entry in threads[each.id]:
            assert entry.episode in told
            assert each.id in {back.episode.id for back in threads[entry.episode.id]}
    store.evict()
    assert {each.id: store.linker.thread(user, each.id) for each in told} == threads


def test_links_outlive_the_process(tmp_path: Path, user: UserKey) -> None:
    store = open_store(tmp_path)
    third = flat(store, user)[-1]
    before = links(store, user, third), store.linker.thread(user, third.id)
    assert len(before[1]) == 3
    again = open_store(tmp_path)
    assert (links(again, user, third), again.linker.thread(user, third.id)) == before


def test_a_thread_is_shown_in_order_with_its_links(store: MemoryStore, user: UserKey) -> None:
    first, lentils, second, _, third = flat(store, user)
    thread = store.linker.thread(user, second.id)
    assert [entry.episode for entry in thread] == [first, second, third]
    assert [[link.related for link in entry.links] for entry in thread][:2] == [[], [first.id]]
    assert [entry.episode for entry in store.linker.thread(user, lentils.id)] == [lentils]
    with pytest.raises(NotFoundError):
        store.linker.thread(user, "e_nobody")


def test_a_thread_is_bounded(store: MemoryStore, user: UserKey) -> None:
    told = [
        episode(store, user, number, f"More of Rex and Ana {number}.", "Rex, Ana, dog")
        if number % 3 == 0
        else episode(store, user, number, f"Nothing {number}.", f"matter{number}", link=False)
        for number in range(3 * (MOST_EPISODES + 5))
    ]
    thread = store.linker.thread(user, told[0].id)
    assert len(thread) == MOST_EPISODES
    assert all(one.episode.event_time < two.episode.event_time for one, two in pairwise(thread))


def test_only_sure_links_are_followed_on_and_on() -> None:
    episodes = plant("fitted", 0).episodes[:5]
    records = WorkingSet()
    records.add_memories(EPISODIC, episodes[0].source, episodes)
    for older, newer, score in zip(episodes, episodes[1:], (0.9, 0.9, 0.7, 0.9), strict=False):
        records.add_link(
            EpisodeLink(
                episode=newer.id,
                related=older.id,
                shared=("Porto",),
                score=score,
                source="session:1",
                event_time=newer.event_time,
                recorded_at=newer.recorded_at,
            )
        )

    def thread(number: int) -> list[int]:
        ids = [each.id for each in episodes]
        return [ids.index(entry.episode.id) for entry in thread_of(records, ids[number], None)]

    assert [thread(number) for number in range(5)] == [[0, 1, 2], [0, 1, 2], [0, 1, 2, 3], [2, 3, 4], [3, 4]]


def test_a_link_is_known_when_the_newer_episode_is(store: MemoryStore, user: UserKey) -> None:
    first, _, second, _, third = flat(store, user)
    then = store.linker.thread(user, first.id, as_of=AsOf(day(30)))
    assert [entry.episode for entry in then] == [first, second]
    assert [entry.episode for entry in store.linker.thread(user, first.id, as_of=AsOf(day(2)))] == [first]
    with pytest.raises(NotFoundError):
        store.linker.thread(user, third.id, as_of=AsOf(day(30)))
    stored = links(store, user, second)[0].recorded_at
    before = AsOf(stored - timedelta(microseconds=1), "recorded")
    assert [entry.episode for entry in store.linker.thread(user, first.id, as_of=before)] == [first]
    at = AsOf(stored, "recorded")
    assert [entry.episode for entry in store.linker.thread(user, first.id, as_of=at)] == [first, second]
