"""The teacher through the real agent and store: full reward without noise, less with it. A strict judge."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from personavlm.jobs.gym.demonstrations import demonstrations, lesson
from personavlm.jobs.gym.judge import verdict
from personavlm.jobs.gym.questions import ALL_KINDS
from personavlm.jobs.gym.teacher import Corruption, Noise, TeacherEngine
from personavlm.jobs.gym.worlds import Asked, WorldConfig, write_world
from personavlm.jobs.images import ImageFolder
from personavlm.jobs.rewards.reward import Parts
from personavlm.memory_store import MemoryStore
from personavlm.platform.agent.loop import AgentSettings
from personavlm.platform.agent.types import Outcome
from personavlm.platform.engines.checkpoint import Checkpoint
from personavlm.platform.prompts.render import PromptPack

EVERYTHING = WorldConfig(kinds=ALL_KINDS, choice_share=0.4, images=True, questions_each=40)


def judged(asked: Asked, outcome: Outcome) -> Parts:
    return Parts.of(asked.public, outcome, verdict(asked.public, outcome))


async def taught(
    asked: Asked,
    store: MemoryStore,
    checkpoint: Checkpoint,
    prompts: PromptPack,
    corruption: Corruption | None = None,
) -> Outcome:
    teacher = TeacherEngine(asked.question, checkpoint, Random(0), corruption)
    return await lesson(asked, store, teacher, prompts, AgentSettings())


async def test_without_noise_the_teacher_gets_nearly_every_full_reward(
    store: MemoryStore, checkpoint: Checkpoint, prompts: PromptPack
) -> None:
    asked = write_world(store, "clean", 1, 160, EVERYTHING)
    rewards = [judged(one, await taught(one, store, checkpoint, prompts)).reward() for one in asked]
    assert {one.question.kind for one in asked} == set(ALL_KINDS)
    assert rewards.count(1.5) >= 0.97 * len(rewards)  # a search brings few hits, and may miss now and then


@pytest.mark.parametrize("corruption", ["skip", "period", "broken"])
async def test_noise_costs_reward(
    store: MemoryStore, checkpoint: Checkpoint, prompts: PromptPack, corruption: Corruption
) -> None:
    asked = [one for one in write_world(store, corruption, 2, 40) if one.evidence]
    scores = [judged(one, await taught(one, store, checkpoint, prompts, corruption)) for one in asked]
    mean = sum(score.reward() for score in scores) / len(scores)
    assert mean < 1.3
    if corruption == "skip":
        assert all(score.consistency == 0 and score.retrievals == 0 for score in scores)
    if corruption == "broken":
        assert all(score.form == 0 for score in scores)


async def test_the_judge_rejects_what_was_not_looked_up(
    store: MemoryStore, checkpoint: Checkpoint, prompts: PromptPack
) -> None:
    asked = next(one for one in write_world(store, "judge", 3, 16) if one.evidence)
    outcome = await taught(asked, store, checkpoint, prompts)
    assert judged(asked, outcome).reward() == 1.5
    blind = replace(outcome, steps=tuple(replace(step, found=()) for step in outcome.steps))
    score = judged(asked, blind)
    assert (score.accuracy, score.consistency) == (1.0, 0.0)
    last = replace(outcome.steps[-1], thinking="need help")
    assert judged(asked, replace(outcome, steps=(*outcome.steps[:-1], last))).consistency == 0.0
    assert judged(asked, replace(outcome, answer=f"{outcome.answer} ?")).accuracy == 0.0


def test_demonstrations_are_what_serving_would_render_and_only_the_teacher_is_learned_from(
    store: MemoryStore, checkpoint: Checkpoint, prompts: PromptPack, tmp_path: Path
) -> None:
    asked = write_world(store, "shown", 4, 64, EVERYTHING)
    images = ImageFolder(tmp_path)
    examples = demonstrations(asked, store, checkpoint, prompts, images, noise=Noise(0.5))
    unknown = checkpoint.tokenizer.token_to_id("<unk>")
    for example in examples:
        assert unknown not in example.ids
        assert example.ids[-1] == checkpoint.end and example.mask[-1]
        learned = [id for id, target in zip(example.ids, example.mask, strict=True) if target]
        assert checkpoint.special["<|im_start|>"] not in learned
        assert example.ids.count(checkpoint.special["<|image_pad|>"]) == len(example.images)
        assert all(image in images for image in example.images)
    assert any(example.images for example in examples)
