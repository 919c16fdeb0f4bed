"""What SFT learns from: a teacher's lessons, through the agent, the store and the ids of serving."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from random import Random

from personavlm.jobs.gym.teacher import Noise, TeacherEngine
from personavlm.jobs.gym.worlds import Asked
from personavlm.jobs.images import ImageFolder
from personavlm.jobs.rollouts.memory import AsOfMemory
from personavlm.jobs.trajectories import Example
from personavlm.memory_store import MemoryStore
from personavlm.platform.agent.loop import Agent, AgentSettings
from personavlm.platform.agent.types import Outcome
from personavlm.platform.engines.checkpoint import Checkpoint
from personavlm.platform.prompts.render import PromptPack

DEFAULT_SETTINGS = AgentSettings()
DEFAULT_NOISE = Noise()


async def lesson(
    asked: Asked, store: MemoryStore, teacher: TeacherEngine, prompts: PromptPack, settings: AgentSettings
) -> Outcome:
    """The teacher's answer to one question."""
    agent = Agent(teacher, AsOfMemory(store, asked.question.now), prompts, settings)
    events = [event async for event in agent.run(asked.message)]
    outcome = events[-1]
    assert isinstance(outcome, Outcome)
    return outcome


def demonstrations(
    asked: Sequence[Asked],
    store: MemoryStore,
    checkpoint: Checkpoint,
    prompts: PromptPack,
    images: ImageFolder,
    *,
    settings: AgentSettings = DEFAULT_SETTINGS,
    noise: Noise = DEFAULT_NOISE,
    seed: int = 0,
) -> list[Example]:
    """One example for each question; what the teacher wrote is what is learned. Images go to the folder."""
    random = Random(seed)

    async def all_lessons() -> list[Example]:
        return [await _example(one) for one in asked]

    async def _example(one: Asked) -> Example:
        teacher = TeacherEngine(one.question, checkpoint, random, noise.drawn(random))
        outcome = await lesson(one, store, teacher, prompts, settings)
        conversation = outcome.conversation
        for image in conversation.images:
            images.add(store.image(one.user, image.sha256))
        mask = [span.sampled for span in conversation.tokens for _ in span.ids]
        return Example(conversation.ids, tuple(mask), tuple(image.sha256 for image in conversation.images))

    return asyncio.run(all_lessons())
