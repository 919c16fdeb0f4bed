"""What can be set about synthesis. The defaults are the sizes and shares that PersonaVLM's paper gives."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from personavlm.platform.config_section import Section
from personavlm.platform.engine_config import (
    OpenAiEngineConfig,
    TransformersEngineConfig,
    VllmEngineConfig,
)

MOST_IMAGES = 120  # the world has no more different things to show
Share = Annotated[float, Field(ge=0, le=1)]


class WorldConfig(Section):
    """No model: invented people who talk in sentences of `world.yaml`."""

    kind: Literal["world"] = "world"


GeneratorConfig = Annotated[
    WorldConfig | OpenAiEngineConfig | TransformersEngineConfig | VllmEngineConfig,
    Field(discriminator="kind"),
]


class DriftConfig(Section):
    """How likely it is that something of a person changes on the way."""

    preference: Share = 0.5
    """For each preference and relationship: that it is another one later."""
    topic: Share = 0.5
    """That the second half of the talk is about other topics than the first."""
    personality: Share = 0.4
    """That one of the five traits takes another level from some session on."""


class MixConfig(Section):
    """Shares of the conversations to learn from (arXiv 2604.13074, appendix B.2)."""

    reasoning: float = Field(0.436, gt=0)
    personality: float = Field(0.103, ge=0)
    memory: float = Field(0.461, ge=0)


class QuestionForms(Section):
    """Shares of the forms of questions for reinforcement learning (same source)."""

    choice: float = Field(0.556, ge=0)
    binary: float = Field(0.234, ge=0)
    open: float = Field(0.21, gt=0)


class SynthesizeConfig(Section):
    """One run. The same configuration gives the same files, unless a model writes."""

    output: Path
    """Folder of the results. One that holds an unfinished run of the same configuration is continued."""
    generator: GeneratorConfig = WorldConfig()
    """Who words dialogues, memories and answers."""
    personas: int = Field(20, ge=1)
    """500 in the paper."""
    first_persona: int = Field(0, ge=0)
    """Number of the first one: other numbers are other people, for test sets apart from training."""
    seed: int = 0
    turns: tuple[int, int] = (20, 100)
    """Fewest and most turns of a person."""
    days: int = Field(30, ge=7, le=366)
    """Over how many days they are spread at most."""
    start: date = date(2025, 1, 6)
    """Lives begin up to 300 days after it."""
    image_share: float = Field(0.18, ge=0.15, le=0.5)
    """Of the turns, those in which the user shows something."""
    drift: DriftConfig = DriftConfig()
    mix: MixConfig = MixConfig()
    forms: QuestionForms = QuestionForms()
    questions_per_turn: float = Field(0.5, gt=0, le=2)
    """How many questions a person asks, of each of which one conversation to learn from comes."""
    corrections: int = Field(2, ge=0)
    """How often a model may write again what was found wrong, before it is left out."""
    workers: int = Field(1, ge=1)
    """Processes that make lives at the same time."""
    cpus_per_worker: float = Field(1, gt=0)
    gpus_per_worker: float = Field(0, ge=0)
    ray_address: str | None = None
    """An existing cluster; without it, one is started on this machine."""

    @model_validator(mode="after")
    def _possible(self) -> Self:
        fewest, most = self.turns
        if not 12 <= fewest <= most:
            raise ValueError(f"turns: {fewest} to {most} is no range; the first must be 12 or more")
        if self.image_share * most > MOST_IMAGES:
            raise ValueError(f"image_share: more than {MOST_IMAGES} images of a person; lower it, or `turns`")
        if most > 12 * self.days:
            raise ValueError(f"turns: {most} in {self.days} days is too many; allow 12 a day at most")
        return self
