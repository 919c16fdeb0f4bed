"""A policy taught in the gym and then served answers over HTTP as it does in evaluation: one agent."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from personavlm.deployments.keys import create_key
from personavlm.deployments.store_root import shard_name
from personavlm.jobs.evaluate.evaluation import Evaluation
from personavlm.jobs.gym.checkpoint import write_checkpoint
from personavlm.jobs.gym.demonstrations import demonstrations
from personavlm.jobs.gym.judge import verdict
from personavlm.jobs.gym.pack import FOLDER, gym_pack
from personavlm.jobs.gym.preparation import gym_store
from personavlm.jobs.gym.teacher import Noise
from personavlm.jobs.gym.worlds import TENANT, Asked, write_world
from personavlm.jobs.images import ImageFolder
from personavlm.jobs.rewards.reward import Parts
from personavlm.jobs.rollouts.memory import AsOfMemory
from personavlm.memory_store import MemoryStore
from personavlm.platform.agent.loop import AgentSettings
from personavlm.platform.agent.types import Outcome
from personavlm.platform.engines.checkpoint import Checkpoint
from tests.benchmarks.gym_parts.in_process import open_engine, supervise
from tests.benchmarks.gym_parts.recipe import Recipe
from tests.integration.conftest import Service, start, stop

STEPS, LESSONS, QUESTIONS = 200, 800, 12
SETTINGS = AgentSettings(max_tokens=48)


@dataclass(frozen=True)
class Served:
    """A running service, its questions, and what evaluation made of them."""

    service: Service
    asked: Sequence[Asked]
    outcomes: Sequence[Outcome]


def taught(folder: Path, store: MemoryStore) -> Path:
    """A checkpoint after a few steps on clean lessons: enough to search, not enough to be good."""
    model = write_checkpoint(folder / "nothing")
    lessons = demonstrations(
        write_world(store, "sft", 0, LESSONS),
        store,
        Checkpoint.open(str(model)),
        gym_pack(),
        ImageFolder(folder / "images"),
        settings=SETTINGS,
        noise=Noise(0.0),
    )
    return supervise(Recipe(sft_steps=STEPS), model, lessons, folder, 0, lambda *_: None)


async def evaluated(model: Path, store: MemoryStore, asked: Sequence[Asked]) -> list[Outcome]:
    questions = [one.public for one in asked]
    evaluation = Evaluation(
        questions, verdict, lambda message: AsOfMemory(store, message.now), gym_pack(), SETTINGS
    )
    engine = open_engine(model)
    outcomes = [await evaluation.answer(engine, question) for question in questions]
    await engine.close()
    return outcomes


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("gym")
    with gym_store(folder / "memory" / shard_name(0)) as store:
        model = taught(folder, store)
        asked = write_world(store, "evaluation", 0, QUESTIONS)
        outcomes = asyncio.run(evaluated(model, store, asked))
    key = create_key(folder / "keys.json", TENANT, replay=True)
    process, url = start(
        folder,
        engine={
            "kind": "transformers", "model": str(model), "name": "taught",
            "dtype": "float32", "context_tokens": 2048,
        },
        memory={"uri": str(folder / "memory"), "shards": 1, "actors": 1},
        agent={"max_tokens": SETTINGS.max_tokens},
        prompts=str(FOLDER),
    )  # fmt: skip
    yield Served(Service(url, key, key, key, folder, process.pid), asked, outcomes)
    stop(process)


def reply(service: Service, asked: Asked) -> dict[str, Any]:
    body = {
        "model": "taught",
        "user": asked.user.user,
        "messages": [{"role": "user", "content": asked.question.text}],
        "metadata": {
            "event_time": asked.question.now.isoformat(),
            "trace": "true", "remember": "false", "allow_past": "true",
        },
    }  # fmt: skip
    with service.http() as client:
        response = client.post("/v1/chat/completions", json=body)
    assert response.status_code == 200, response.text
    answered: dict[str, Any] = response.json()
    return answered


def test_the_served_policy_answers_as_in_evaluation(served: Served) -> None:
    searches = 0
    for asked, outcome in zip(served.asked, served.outcomes, strict=True):
        answered = reply(served.service, asked)
        assert answered["choices"][0]["message"]["content"] == outcome.answer
        steps = answered["personavlm"]["steps"]
        assert [(step["action"], step["thinking"]) for step in steps] == [
            (step.action, step.thinking) for step in outcome.steps
        ]
        assert [(step["keywords"], set(step["found"]), step["repaired"]) for step in steps] == [
            (step.keywords, set(step.found), step.repaired) for step in outcome.steps
        ]
        searches += sum(step["action"] == "retrieve" for step in steps)
    # So its reward is the same; and it is one of a policy that looks things up and keeps to the grammar.
    pairs = zip(served.asked, served.outcomes, strict=True)
    scores = [Parts.of(asked.public, outcome, verdict(asked.public, outcome)) for asked, outcome in pairs]
    assert searches == sum(score.retrievals for score in scores) >= QUESTIONS / 3
    assert sum(score.reward() for score in scores) / QUESTIONS >= 0.5
