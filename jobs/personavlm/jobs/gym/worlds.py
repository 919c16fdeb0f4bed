"""A world: personas in a memory store and questions about them, all drawn from one seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from pydantic import Field, TypeAdapter, ValidationError

from personavlm.jobs.gym.personas import Persona
from personavlm.jobs.gym.pictures import picture
from personavlm.jobs.gym.questions import TEXT_KINDS, GymQuestion, Kind, draw_question
from personavlm.jobs.gym.store import write_persona
from personavlm.jobs.rollouts.tasks import Question
from personavlm.memory_store import ImageRef, MemoryStore, UserKey
from personavlm.platform.agent.types import Message
from personavlm.platform.config_section import Section
from personavlm.platform.errors import CommandError

TENANT = "gym"


class WorldConfig(Section):
    """What is asked, and about how many users."""

    kinds: tuple[Kind, ...] = TEXT_KINDS
    """Which kinds of question, all alike often."""
    choice_share: float = Field(0.0, ge=0, le=1)
    """Of the questions that could be open, how many have options instead."""
    images: bool = False
    """Objects are remembered by a picture instead of in words."""
    questions_each: int = Field(16, ge=1)
    """About one user."""


TEXT_WORLD = WorldConfig()


@dataclass(frozen=True, slots=True)
class Asked:
    """A question to the agent about one user, and the ids of the memories that prove its answer."""

    id: str
    user: UserKey
    question: GymQuestion
    evidence: tuple[str, ...]
    images: tuple[ImageRef, ...] = ()

    @property
    def message(self) -> Message:
        """What the user writes."""
        return Message(self.user, self.question.text, self.question.now, self.images)

    @property
    def public(self) -> Question:
        """The same without what only a teacher needs."""
        question = self.question
        return Question(
            self.id, self.message, question.answer, question.options, self.evidence, question.kind
        )


_QUESTIONS = TypeAdapter(list[Asked])


def write_questions(path: Path, asked: Sequence[Asked]) -> None:
    """Keep questions beside the store that answers them."""
    path.write_bytes(_QUESTIONS.dump_json(list(asked)))


def read_questions(path: Path) -> list[Asked]:
    """What `write_questions` wrote. Raises `CommandError`."""
    try:
        asked = _QUESTIONS.validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise CommandError(f"{path} holds no questions of the gym: {error}") from error
    if not asked:
        raise CommandError(f"{path} holds no questions of the gym: its list is empty")
    return asked


def write_world(
    store: MemoryStore, name: str, seed: int, questions: int, config: WorldConfig = TEXT_WORLD
) -> list[Asked]:
    """Invent users named after ``name`` until there are so many questions; the store then knows them.

    Two worlds in one store need two names; the same seed and configuration give the same world.
    """
    random = Random(f"{name}/{seed}")
    asked: list[Asked] = []
    while len(asked) < questions:
        user = UserKey(TENANT, f"{name}-{seed}-{len(asked)}")
        persona = Persona.drawn(random, images=config.images)
        facts = write_persona(store, user, persona)
        asked += _questions(store, user, persona, facts, random, config)
    return asked[:questions]


def _questions(
    store: MemoryStore,
    user: UserKey,
    persona: Persona,
    facts: Sequence[str],
    random: Random,
    config: WorldConfig,
) -> list[Asked]:
    found: list[Asked] = []
    while len(found) < config.questions_each:
        kind = random.choice(config.kinds)
        question = draw_question(
            persona, kind, random, choice_share=config.choice_share, images=config.images
        )
        if question:
            images = _shown(store, user, question, len(found))
            evidence = tuple(facts[fact] for fact in question.facts)
            found.append(Asked(f"{user.user}/{len(found)}", user, question, evidence, images))
    return found


def _shown(store: MemoryStore, user: UserKey, question: GymQuestion, number: int) -> tuple[ImageRef, ...]:
    if question.shape is None:
        return ()
    data, side = picture(question.shape, f"{user.user}/asked/{number}")
    return (store.put_image(user, data, "image/png", side, side),)
