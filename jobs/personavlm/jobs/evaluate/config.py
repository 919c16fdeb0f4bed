"""What `python -m personavlm.jobs.evaluate` is told."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from personavlm.platform.config import AgentConfig
from personavlm.platform.config_section import Section
from personavlm.platform.engine_config import EngineConfig, RulesEngineConfig


class EvaluateConfig(Section):
    """An engine, and questions whose answers are known."""

    questions: Path
    """A file of questions of the gym."""
    memory: Path
    """The store with their users. Only read."""
    prompts: Path | None = None
    """A folder of templates; by default the gym's own wording."""
    engine: EngineConfig = RulesEngineConfig()
    agent: AgentConfig = AgentConfig(max_tokens=64)
    """Its temperature is set by each condition."""
    limit: int | None = Field(None, ge=1)
    """Ask only so many of the questions."""
    concurrency: int = Field(128, ge=1)
    """Answers under way at once."""
    report: Path | None = None
    """Where to write the figures as JSON."""
    before: Path | None = None
    """A report to compare with, of the same questions."""
