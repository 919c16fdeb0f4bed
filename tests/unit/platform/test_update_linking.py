"""A closed session's episodes are linked to older ones, once, whatever interrupts the stage."""

import json
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from personavlm.memory_store import EpisodeLink, MemoryKind, MemoryStore, Progress, UserKey
from personavlm.platform.engines.rules.engine import RulesEngine
from personavlm.platform.errors import EngineUnavailable
from tests.unit.platform.update_workbench import (
    HOUR,
    USER,
    WALL,
    Rows,
    TaskEngine,
    close_stores,
    open_anew,
    open_store,
    say,
    stage_of,
)

LIFE = [
    (0 * HOUR, "We looked at a flat in Linden Street, it has a balcony."),
    (50 * HOUR, "I cooked lentils with lemon."),
    (200 * HOUR, "The flat in Linden Street is ours, balcony and all!"),
    (400 * HOUR, "Hello again."),
]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[MemoryStore]:
    opened = open_store(tmp_path / "store")
    yield opened
    close_stores()


def quote(rows: Rows) -> str:
    """The first words of the session as its one topic, its long words as keywords."""
    said = rows["turns"][0]["user"]
    keywords = [word.strip(".,!") for word in said.split() if len(word) > 3]
    evidence = [row["id"] for row in rows["turns"]]
    topic = {"op": "add", "text": said, "keywords": keywords, "evidence": evidence}
    return json.dumps({"operations": [topic]})


def links_of(store: MemoryStore) -> list[EpisodeLink]:
    episodes = store.memories(USER, MemoryKind.EPISODIC)
    threads = (store.linker.thread(USER, episode.id) for episode in episodes)
    found = (link for thread in threads for entry in thread for link in entry.links)
    return list(dict.fromkeys(found))


def said_in(store: MemoryStore, ids: Sequence[str]) -> list[str]:
    return [store.memory(USER, id).text for id in ids]


async def test_a_closed_session_is_linked_to_an_older_one(store: MemoryStore) -> None:
    say(store, LIFE)
    assert await stage_of(store, TaskEngine({"episodic": quote})).run(USER)
    (link,) = links_of(store)
    assert said_in(store, [link.episode, link.related]) == [LIFE[2][1], LIFE[0][1]]
    assert {"Linden", "Street", "flat", "balcony"} <= set(link.shared)
    assert link.source == store.memory(USER, link.episode).source
    assert not await stage_of(store, TaskEngine({"episodic": quote})).run(USER)
    assert links_of(store) == [link]


async def test_the_engine_of_rules_leaves_links_too(store: MemoryStore) -> None:
    say(store, LIFE)
    await stage_of(store, RulesEngine()).run(USER)
    (link,) = links_of(store)
    assert "Linden" in link.shared


async def test_a_session_is_linked_once_it_is_over(store: MemoryStore) -> None:
    say(store, LIFE[:3])
    await stage_of(store, TaskEngine({"episodic": quote}), WALL).run(USER)
    assert links_of(store) == []
    later = WALL + timedelta(hours=2)
    await stage_of(store, TaskEngine({"episodic": quote}), later).run(USER)
    assert len(links_of(store)) == 1


@pytest.mark.parametrize("failing", [-2, -1])
async def test_an_engine_that_fails_after_the_episodes_delays_links(store: MemoryStore, failing: int) -> None:
    say(store, LIFE)
    calls = ["personality", "semantic", "episodic", "procedural", "core"] * 3
    with pytest.raises(EngineUnavailable):
        await stage_of(store, TaskEngine({"episodic": quote}, len(calls) + 1 + failing)).run(USER)
    assert links_of(store) == []
    await stage_of(store, TaskEngine({"episodic": quote})).run(USER)
    assert len(links_of(store)) == 1


class Killed(BaseException):
    """The process is gone."""


class DyingStore(MemoryStore):
    """Dies when it is told the n-th time how far the stage has come."""

    saves_left: int

    def save_progress(self, user: UserKey, progress: Progress) -> None:
        self.saves_left -= 1
        if self.saves_left <= 0:
            raise Killed
        super().save_progress(user, progress)


async def test_a_death_before_progress_is_stored_doubles_no_link(tmp_path: Path) -> None:
    for fatal in range(1, 100):
        folder = tmp_path / f"fatal-{fatal}"
        dying = open_anew(DyingStore, folder)
        dying.saves_left = fatal
        say(dying, [LIFE[0], *LIFE[2:]])
        try:
            await stage_of(dying, TaskEngine({"episodic": quote})).run(USER)
        except Killed:
            close_stores(folder)
            revived = open_store(folder)
            await stage_of(revived, TaskEngine({"episodic": quote})).run(USER)
            assert len(links_of(revived)) == 1, f"after death at save {fatal}"
            close_stores(folder)
        else:
            close_stores(folder)
            break
    assert fatal > 2
