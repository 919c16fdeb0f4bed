"""A life is lived through the real store, update stage and agent; answers come from what was retrieved."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime
from io import BytesIO
from pathlib import Path

import pytest

from personavlm.jobs.synthesize.asks import NOT_TOLD, Ask
from personavlm.jobs.synthesize.config import MixConfig
from personavlm.jobs.synthesize.living import LifeClock, StoreMemory
from personavlm.jobs.synthesize.parts import history_of, read_statistics, write_part
from personavlm.jobs.synthesize.reply_targets import settled
from personavlm.jobs.synthesize.rows import full_text
from personavlm.jobs.synthesize.supervision import TENANT, Supervised
from personavlm.jobs.synthesize.teacher import Teacher
from personavlm.memory_store import AsOf, Context, MemoryKind, SearchRequest, SearchResult, UserKey
from personavlm.platform.agent.grammar import Answer, parse
from personavlm.platform.agent.loop import Agent
from personavlm.platform.agent.types import Message, Outcome
from personavlm.platform.histories import load
from personavlm.platform.prompts.render import read_task
from personavlm.platform.updates.operations import read_operations
from tests.unit.jobs.synthesize.small import config, home, life, supervised

LIFE = life(2, turns=(30, 30))
USER = UserKey(TENANT, LIFE.persona.user)


@pytest.fixture(scope="module")
def made() -> Supervised:
    return supervised(LIFE, config(turns=(30, 30)))


def test_shares_are_those_of_the_paper(made: Supervised) -> None:
    mix = MixConfig()
    count = len(made.conversations)
    for kind, share in (("reasoning", mix.reasoning), ("personality", mix.personality)):
        assert sum(row.kind == kind for row in made.conversations) / count == pytest.approx(share, abs=0.05)
    assert {row.kind for row in made.conversations} >= {"semantic", "episodic", "procedural", "core"}


def test_every_assistant_message_is_learned_and_keeps_its_grammar(made: Supervised) -> None:
    for row in made.conversations:
        assert all(turn.train == (turn.role == "assistant") for turn in row.turns)
        last = row.turns[-1].text
        if row.kind == "reasoning":
            assert isinstance(parse(last).action, Answer)
        elif row.kind != "personality":
            assert read_operations(last)[1] == []
            assert read_task(row.turns[0].text) == row.kind


def test_nothing_but_weak_profiles_is_left_out(made: Supervised) -> None:
    assert set(made.left_out) <= {"question: tailored", "question: concept"}
    assert len(made.asks) >= 12


def test_lookups_are_made_and_images_shown(made: Supervised) -> None:
    assert 0.4 < sum(made.retrievals) / len(made.retrievals) < 1.5
    assert any(turn.images for row in made.conversations for turn in row.turns)


def test_memory_holds_what_was_told(made: Supervised, tmp_path: Path) -> None:
    with home().open_store(tmp_path, LifeClock(LIFE.turns[-1].time)) as store:
        store.transfer.import_user(USER, BytesIO(made.archive))
        core = {memory.key: memory.text for memory in store.memories(USER, MemoryKind.CORE)}  # type: ignore[union-attr]
        assert core["name"] == LIFE.persona.name
        semantic = [memory.text for memory in store.memories(USER, MemoryKind.SEMANTIC)]
        for turn in LIFE.turns:
            if turn.beat.kind in ("event", "plan", "thing"):
                assert any(turn.beat.value in text for text in semantic)
        turns = {turn.id for turn in store.turns(USER)}
        assert all(set(row.evidence) <= turns for row in made.questions)


class Then(StoreMemory):
    """A store as it was known at the time of the question at hand."""

    async def context(self, user: UserKey, now: datetime) -> Context:
        self._as_of = AsOf(now)
        return self._store.context(user, now, as_of=self._as_of)

    async def search(self, user: UserKey, request: SearchRequest) -> SearchResult:
        return self._store.search(user, replace(request, as_of=self._as_of))


def test_questions_are_answered_from_the_archive_as_of_their_time(made: Supervised, tmp_path: Path) -> None:
    """What the store knew later does not matter: rollouts ask a whole life's store."""
    teacher = Teacher(LIFE.turns)
    with home().open_store(tmp_path, LifeClock(LIFE.turns[-1].time)) as store:
        store.transfer.import_user(USER, BytesIO(made.archive))
        for ask in made.asks:
            if ask.picture is None:
                teacher.asked = ask
                outcome = asyncio.run(answered(Agent(teacher, Then(store)), ask))
                assert settled(ask, outcome.conversation.segments), ask


def test_a_life_gives_the_same_again(made: Supervised) -> None:
    again = supervised(LIFE, config(turns=(30, 30)))
    assert again.conversations == made.conversations
    assert again.questions == made.questions
    assert again.archive == made.archive


def test_what_is_not_in_memory_is_not_answered(tmp_path: Path) -> None:
    """The teacher knows the gold answer, and still says only what the store gives it."""
    turn = next(turn for turn in LIFE.turns if turn.beat.kind == "event")
    needs = ((turn.beat.key, turn.beat.value),)
    ask = Ask(
        id="q",
        kind="event",
        time=turn.time,
        text="Where?",
        gold=turn.beat.value,
        needs=needs,
        keywords=("x",),
    )
    with home().open_store(tmp_path, LifeClock(turn.time)) as store:
        teacher = Teacher(LIFE.turns)
        teacher.asked = ask
        outcome = asyncio.run(answered(Agent(teacher, StoreMemory(store)), ask))
    assert outcome.answer == "I do not remember that."
    assert not settled(ask, outcome.conversation.segments)
    teacher.asked = ask.model_copy(update={"kind": "absent", "needs": (("never", "told"),)})
    with home().open_store(tmp_path, LifeClock(turn.time)) as store:
        outcome = asyncio.run(answered(Agent(teacher, StoreMemory(store)), ask))
    assert outcome.answer == NOT_TOLD


async def answered(agent: Agent, ask: Ask) -> Outcome:
    events = [event async for event in agent.run(Message(USER, full_text(ask), ask.time))]
    outcome = events[-1]
    assert isinstance(outcome, Outcome)
    return outcome


def test_a_part_is_whole_or_absent(made: Supervised, tmp_path: Path) -> None:
    assert read_statistics(tmp_path, LIFE.persona.user) is None
    statistics = write_part(tmp_path, LIFE, made)
    assert read_statistics(tmp_path, LIFE.persona.user) == statistics
    assert statistics.image_turns >= 0.15 * statistics.turns
    (tmp_path / "parts" / LIFE.persona.user / "statistics.json").write_text('{"user": ')
    assert read_statistics(tmp_path, LIFE.persona.user) is None


def test_the_history_can_be_replayed(made: Supervised, tmp_path: Path) -> None:
    write_part(tmp_path, LIFE, made)
    file = tmp_path / "histories" / "one.json"
    file.parent.mkdir()
    file.write_text(history_of(LIFE, made.asks).model_dump_json())
    (history,) = load(file, "personavlm")
    assert [turn.user_text for turn in history.turns] == [turn.user_text for turn in LIFE.turns]
    assert len(history.sessions()) == len(list(LIFE.sessions()))
    assert len(history.questions) == len(made.asks)
