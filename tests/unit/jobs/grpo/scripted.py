"""Questions and workers whose rewards were written beforehand: for tests of what surrounds them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from personavlm.jobs.grpo.config import GrpoConfig
from personavlm.jobs.grpo.controller import Controller
from personavlm.jobs.grpo.counters import CountersFile
from personavlm.jobs.rewards.base import Judge
from personavlm.jobs.rollouts.groups import Group, Order, Rollout
from personavlm.jobs.rollouts.records import Record
from personavlm.jobs.rollouts.tasks import Question
from personavlm.jobs.trajectories import Trajectory
from personavlm.memory_store import UserKey
from personavlm.platform.agent.types import Message

USER = UserKey("tenant", "user")
Rewards = Callable[[int], Sequence[float | None]]


def question(number: int, **known: Any) -> Question:  # noqa: ANN401
    message = Message(USER, f"question {number}", datetime(2026, 6, 1, tzinfo=UTC))
    return Question(f"q{number}", message, "gold", **known)


class Endless:
    """A task."""

    def question(self, number: int) -> Question:
        return question(number)

    def judge(self) -> Judge | None:
        return None


@dataclass
class ScriptedWorkers:
    """Answers at once, with the newest weights or with ``stuck_at``."""

    rewards: Rewards
    stuck_at: str = ""
    version: str = ""
    orders: list[Order] = field(default_factory=list)

    async def group(self, order: Order) -> Group:
        self.orders.append(order)
        version = self.stuck_at or self.version
        return Group(
            order.number, tuple(_rollout(order, reward, version) for reward in self.rewards(order.number))
        )

    async def take_weights(self, version: str, weights: Sequence[Any]) -> None:
        self.version = version


def _rollout(order: Order, reward: float | None, version: str) -> Rollout:
    record = Record.begun(order.number, order.question).model_copy(
        update={
            "reward": reward,
            "versions": (version,),
            "failure": "" if reward is not None else "judge: no",
        }
    )
    trajectory = Trajectory((1, 2, 3), (False, True, True), (0.0, -1.0, -1.0), ("", version, version))
    return Rollout(record, trajectory if reward is not None else None, reward)


@dataclass
class KeptLog:
    """What a run would write."""

    records: list[Record] = field(default_factory=list)
    figures: dict[int, Mapping[str, float]] = field(default_factory=dict)

    def write(self, step: int, figures: Mapping[str, float]) -> None:
        self.figures[step] = figures

    def keep(self, records: Sequence[Record]) -> None:
        self.records += records


def config(folder: Path, **settings: Any) -> GrpoConfig:  # noqa: ANN401
    """A configuration that needs no model."""
    values: dict[str, Any] = {
        "output": folder,
        "task": {"kind": "gym", "questions": folder / "questions.json"},
        "rollouts": {"engine": {"kind": "transformers", "model": "m"}, "memory": folder},
        "learner": {"policy": {"model": "m"}},
        "steps": 4,
        "prompts": 3,
        "group_size": 2,
    }
    return GrpoConfig.model_validate(values | settings)


def controller(folder: Path, workers: ScriptedWorkers, log: KeptLog, **settings: Any) -> Controller:  # noqa: ANN401
    counters = CountersFile(folder / "counters.jsonl")
    return Controller(config(folder, **settings), Endless(), workers, counters, log)
