"""From configuration to task, judge and prompts, in whichever process needs them."""

from __future__ import annotations

from personavlm.jobs.rewards.base import Judge
from personavlm.jobs.rewards.config import JudgeConfig
from personavlm.jobs.rollouts.config import GymTaskConfig, RolloutConfig, TaskConfig
from personavlm.jobs.rollouts.tasks import Task
from personavlm.platform.errors import CommandError
from personavlm.platform.prompts.render import PromptPack, default_pack


def build_task(config: TaskConfig, seed: int) -> Task:
    """The questions. Raises `CommandError` where there are none."""
    if isinstance(config, GymTaskConfig):
        from personavlm.jobs.gym.task import GymTask

        return GymTask(config.questions)
    from personavlm.jobs.data.practice import QuestionTask

    return QuestionTask(config.path, config.tenant, seed)


def build_judge(task: Task, config: JudgeConfig | None) -> Judge:
    """The task's own judge, or else the model that is configured. Raises `CommandError` without either."""
    if exact := task.judge():
        return exact
    if config is None:
        raise CommandError("judge: these questions need a model that judges; name one under judge.engine")
    from personavlm.jobs.rewards.engine_judge import EngineJudge
    from personavlm.platform.engines.build import build_engine

    return EngineJudge(build_engine(config.engine), config)


def build_prompts(config: RolloutConfig, task: TaskConfig) -> PromptPack:
    """The wording. Raises `ConfigError` for a folder that cannot be used."""
    from personavlm.platform.prompts.checking import read_pack

    if config.prompts:
        return read_pack(config.prompts, config.engine.kind)
    if isinstance(task, GymTaskConfig):
        from personavlm.jobs.gym.pack import gym_pack

        return gym_pack()
    return default_pack()
