"""From a plan to a person's part of the data: words, rules, supervision, files."""

from __future__ import annotations

from personavlm.jobs.synthesize.checks import life_problems
from personavlm.jobs.synthesize.config import SynthesizeConfig, WorldConfig
from personavlm.jobs.synthesize.life import Plan
from personavlm.jobs.synthesize.living import Household
from personavlm.jobs.synthesize.model_writer import ModelWriter
from personavlm.jobs.synthesize.parts import PartStatistics, write_part
from personavlm.jobs.synthesize.supervision import supervise
from personavlm.jobs.synthesize.wording import WorldWriter, Writer
from personavlm.platform.engines.base import Engine

LEAST_IMAGES = 0.15  # of the turns, as in the paper


class LifeMaker:
    """Makes lives with one engine, if there is any, and one pair of encoders."""

    def __init__(
        self, config: SynthesizeConfig, home: Household | None = None, engine: Engine | None = None
    ) -> None:
        self._config = config
        self._home = home or Household.usual()
        self._engine = engine or _engine(config)
        self._writer: Writer = (
            ModelWriter(self._engine, config.corrections) if self._engine else WorldWriter()
        )

    async def make(self, plan: Plan) -> PartStatistics:
        """All of one person, on the disk in the end. Raises `EngineError`."""
        life = await self._writer.write(plan)
        if problems := life_problems(life, LEAST_IMAGES):
            raise ValueError(f"{plan.persona.user} breaks the rules of lives: {'; '.join(problems)}")
        made = await supervise(life, self._config, self._home, self._engine)
        return write_part(self._config.output, life, made)


def _engine(config: SynthesizeConfig) -> Engine | None:
    if isinstance(config.generator, WorldConfig):
        return None
    from personavlm.platform.engines.build import build_engine

    return build_engine(config.generator)
