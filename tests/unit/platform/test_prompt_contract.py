"""The table of what templates are given agrees with what the code gives them."""

import base64
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from personavlm.memory_store import EpisodeLink, MemoryStore
from personavlm.memory_store.queries import Context, Hit, SearchResult
from personavlm.memory_store.records import (
    CoreMemory,
    EpisodicMemory,
    ProceduralMemory,
    Profile,
    TurnDraft,
)
from personavlm.platform.agent.prompting import first_segments, memory_segment
from personavlm.platform.agent.types import Message
from personavlm.platform.engines.base import Segment
from personavlm.platform.prompts.contract import CONTRACT, OURS, Rows, fields
from personavlm.platform.prompts.render import default_pack, read_rows, read_task
from tests.unit.platform.agent_steps import CAT, MAY_17, NOW, TIMES, USER, ZONE, semantic, turn
from tests.unit.platform.foreign_pack import foreign_pack
from tests.unit.platform.update_workbench import (
    CONVERSATION,
    RESPONDERS,
    START,
    TaskEngine,
    close_stores,
    open_store,
    stage_of,
)
from tests.unit.platform.update_workbench import USER as MIA

PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGNgYPgPAAEDAQAIicLsAAAAAElFTkSuQmCC"
)
NAME = CoreMemory(id="c_1", version=1, text="Ana", key="name", **TIMES)
PROFILE = Profile(version=2, traits=(4.24, 3, 3, 3, 2.4), event_time=MAY_17, recorded_at=MAY_17)
CONTEXT = Context((NAME,), PROFILE, (turn("t_1", "I bought tea", CAT), turn("t_2", "Hm.")), 7, 8)
MESSAGE = Message(USER, "And now?", NOW, (CAT,), "Be brief.")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[MemoryStore]:
    yield open_store(tmp_path / "store")
    close_stores()


def assert_as_promised(prompt: str, seen: dict[tuple[str, str], set[str]]) -> None:
    """Every row has the fields that it must have and no field that is not promised."""
    task = read_task(prompt)
    for section, rows in read_rows(prompt).items():
        given = CONTRACT[task][section]
        assert isinstance(given, Rows)
        for row in rows:
            assert given.sample.keys() - given.optional <= row.keys() <= given.sample.keys()
            assert all(_alike(row[name], given.sample[name]) for name in row)
            seen.setdefault((task, section), set()).update(row)


def _alike(value: object, sample: object) -> bool:
    return type(value) is type(sample) or (isinstance(value, float | int) and isinstance(sample, float | int))


def promised(*tasks: str) -> Mapping[tuple[str, str], set[str]]:
    return {
        (task, section): set(given.sample)
        for task in tasks
        for section, given in CONTRACT[task].items()
        if isinstance(given, Rows)
    }


def test_the_response_stage_gives_what_is_promised() -> None:
    episode = EpisodicMemory(id="e_1", version=1, text="A trip", end_time=NOW, **TIMES)
    link = EpisodeLink(
        episode="e_1",
        related="e_2",
        shared=("Porto",),
        score=0.9,
        source="session:t_1",
        event_time=MAY_17,
        recorded_at=MAY_17,
    )
    habit = ProceduralMemory(id="p_1", version=1, text="Runs on Sundays", key="run", **TIMES)
    fact = semantic("s_1", "Drinks Sprite", CAT, valid_to=NOW)
    result = SearchResult(
        semantic=(
            Hit(fact, "semantic", 0.5, outside_window=True),
            Hit(semantic("s_2", "x"), "semantic", 1),
        ),
        episodic=(Hit(episode, "episodic", 0.5, outside_window=True, link=link),),
        procedural=(Hit(habit, "procedural", 0.5),),
        visual=(Hit(fact, "visual", 0.9, outside_window=True),),
        turns=(Hit(turn("t_2", "look", CAT), "turn", 0.4, outside_window=True),),
        widened=("semantic",),
    )
    pack, seen = default_pack(), dict[tuple[str, str], set[str]]()
    _, reply = first_segments(pack, CONTEXT, MESSAGE, max_retrievals=3, max_images=4)
    memories = memory_segment(pack, result, ZONE, retrievals_left=1, max_images=4)
    for segment in (reply, memories):
        assert_as_promised(segment.text, seen)
    assert seen == promised("reply", "memories")


async def test_the_update_stage_gives_what_is_promised(store: MemoryStore) -> None:
    picture = replace(store.put_image(MIA, PIXEL, "image/png", 1, 1), caption="a map")
    for after, words in CONVERSATION:
        store.append_turn(MIA, TurnDraft(words, "I see.", START + after, (picture,)))
    engine = TaskEngine(RESPONDERS)
    await stage_of(store, engine).run(MIA)
    seen: dict[tuple[str, str], set[str]] = {}
    for conversation in engine.conversations:
        assert_as_promised(conversation.segments[0].text, seen)
    assert seen == promised("personality", "semantic", "episodic", "procedural", "core")


def test_a_pack_without_rules_has_no_system_message() -> None:
    segments = first_segments(foreign_pack(), CONTEXT, MESSAGE, max_retrievals=2, max_images=4)
    [prompt] = segments
    assert isinstance(prompt, Segment) and prompt.role == "user" and prompt.images == (CAT, CAT)
    assert "search at most 2 times" in prompt.text
    assert "{'name': 'Ana'}" in prompt.text and "- Openness: 4.2\n" in prompt.text
    assert "2026-05-17 09:30 (Sunday)\nUser: I bought tea\nAssistant: Noted.\n" in prompt.text
    assert prompt.text.endswith("{'time': '2026-05-20 14:05', 'query': 'And now?'}\nWish: Be brief.\n")


def test_only_known_fields_are_called_ours() -> None:
    assert set().union(*map(fields, CONTRACT)) >= OURS
