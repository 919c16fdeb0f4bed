"""`python -m personavlm.jobs.evaluate`: load, answer, print."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from pydantic import ValidationError
from rich.console import Console

from personavlm.jobs.evaluate.config import EvaluateConfig
from personavlm.jobs.evaluate.evaluation import Evaluation
from personavlm.jobs.evaluate.report import Report
from personavlm.jobs.gym.judge import verdict
from personavlm.jobs.gym.pack import FOLDER
from personavlm.jobs.gym.task import GymTask
from personavlm.jobs.rollouts.memory import Snapshot
from personavlm.jobs.rollouts.tasks import Question
from personavlm.platform.agent.loop import AgentSettings
from personavlm.platform.config import AgentConfig
from personavlm.platform.engines.build import build_engine
from personavlm.platform.errors import CommandError
from personavlm.platform.prompts.checking import read_pack


def run(config: EvaluateConfig) -> Report:
    """Evaluate as configured, print the tables, write the report. Raises `CommandError`."""
    task = GymTask(config.questions)
    questions = [task.question(number) for number in range(config.limit or len(task))]
    before = _earlier(config.before) if config.before else None
    with closing(Snapshot(config.memory)) as snapshot:
        report = asyncio.run(_report(config, questions, snapshot))
    console = Console()
    for table in report.tables():
        console.print(table)
    if before:
        console.print(report.compared(before))
    if config.report:
        config.report.write_text(report.model_dump_json(indent=1), encoding="utf-8")
    return report


def _earlier(path: Path) -> Report:
    try:
        return Report.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise CommandError(f"before: {path} is no report of an evaluation: {error}") from error


async def _report(config: EvaluateConfig, questions: Sequence[Question], snapshot: Snapshot) -> Report:
    prompts = read_pack(config.prompts or FOLDER, config.engine.kind)
    evaluation = Evaluation(
        questions,
        verdict,
        snapshot.memory,
        prompts,
        agent_settings(config.agent),
        config.concurrency,
    )
    engine = build_engine(config.engine)
    try:
        return await evaluation.report(engine)
    finally:
        await engine.close()


def agent_settings(config: AgentConfig) -> AgentSettings:
    """The agent as serving builds it from the same section."""
    return AgentSettings(
        max_retrievals=config.max_retrievals, max_tokens=config.max_tokens, temperature=config.temperature
    )
