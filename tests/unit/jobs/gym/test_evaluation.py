"""Evaluation through the real agent and store: conditions take away what they say, and figures are means."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from personavlm.jobs.evaluate.ablations import AnyTime, NothingFound
from personavlm.jobs.evaluate.evaluation import GREEDY, RETRIEVER_OFF, SAMPLED, Evaluation
from personavlm.jobs.evaluate.report import Figures
from personavlm.jobs.gym.judge import verdict
from personavlm.jobs.gym.personas import ASKED_AT
from personavlm.jobs.gym.teacher import search_body
from personavlm.jobs.gym.worlds import TEXT_WORLD, Asked, write_world
from personavlm.jobs.rewards.reward import Parts
from personavlm.jobs.rollouts.memory import AsOfMemory
from personavlm.memory_store import MemoryStore, SearchRequest, Window
from personavlm.platform.engines.scripted import ScriptedEngine
from personavlm.platform.prompts.render import PromptPack


def evaluation(store: MemoryStore, prompts: PromptPack, asked: list[Asked]) -> Evaluation:
    return Evaluation(
        [one.public for one in asked], verdict, lambda message: AsOfMemory(store, message.now), prompts
    )


def scripted(asked: Asked) -> ScriptedEngine:
    """Knows one question's answer, and looks up its evidence as it should."""
    question, (hop,) = asked.question, asked.question.hops
    search = f"<think> need </think> <retrieve> {search_body(hop.keywords, hop.month)} </retrieve>"
    answer = f"<think> {question.conclusion} </think> <answer> {question.answer} </answer>"
    return ScriptedEngine([search, answer])


async def test_without_a_retriever_a_known_answer_is_not_consistent(
    store: MemoryStore, prompts: PromptPack
) -> None:
    asked = write_world(store, "off", 1, 1, TEXT_WORLD.model_copy(update={"kinds": ("IIR",)}))
    report = await evaluation(store, prompts, asked).report(
        scripted(asked[0]), (GREEDY, SAMPLED, RETRIEVER_OFF)
    )
    assert report.condition("greedy").all.reward == report.condition("T=1").all.reward == 1.5
    off = report.condition("retriever off").all
    assert (off.right, off.accuracy, off.reward, off.retrievals) == (1.0, 0.0, 0.5, 1.0)
    assert report.condition("greedy").kinds["IIR"].questions == 1
    assert [table.row_count for table in report.tables()] == [3, 2]


async def test_a_time_that_is_ignored_brings_what_no_time_brings(store: MemoryStore) -> None:
    asked = write_world(store, "time", 1, 1)[0]
    memory = AsOfMemory(store, ASKED_AT)
    march = Window(datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 31, tzinfo=UTC))
    request = SearchRequest("me drink", "which drink ?", march)
    free = await memory.search(asked.user, replace(request, window=Window()))
    assert await AnyTime(memory).search(asked.user, request) == free
    assert await memory.search(asked.user, request) != free
    assert not (await NothingFound(memory).search(asked.user, request)).ids()


def test_figures_are_means() -> None:
    figures = Figures.of([Parts(1, 1, 1, 1.0, 2, True), Parts(1, 0, 0, 1.0, 0, True)])
    assert (figures.reward, figures.accuracy, figures.right) == (0.75, 0.5, 1.0)
    assert (figures.form, figures.retrievals, figures.questions) == (0.5, 1.0, 2)
    with pytest.raises(ValueError, match="no question"):
        Figures.of([])
