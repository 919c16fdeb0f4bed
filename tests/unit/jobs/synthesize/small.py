"""Small lives for tests, with encoders that cost nothing."""

from __future__ import annotations

import asyncio
from pathlib import Path

from personavlm.jobs.synthesize.config import SynthesizeConfig
from personavlm.jobs.synthesize.life import Life
from personavlm.jobs.synthesize.living import Household
from personavlm.jobs.synthesize.plan import plan_life
from personavlm.jobs.synthesize.supervision import Supervised, supervise
from personavlm.jobs.synthesize.wording import WorldWriter
from personavlm.platform.encoders.image_descriptor import ImageDescriptor
from tests.unit.memory_store.encoders import WordEncoder


def config(**settings: object) -> SynthesizeConfig:
    return SynthesizeConfig.model_validate({"output": Path("out"), "turns": (16, 24), **settings})


def home() -> Household:
    return Household(WordEncoder(), ImageDescriptor())


def life(number: int = 0, **settings: object) -> Life:
    return asyncio.run(WorldWriter().write(plan_life(config(**settings), number)))


def supervised(of: Life, settings: SynthesizeConfig) -> Supervised:
    return asyncio.run(supervise(of, settings, home(), None))
