"""Groups of rollouts: the same question answered several times, each answer judged as soon as it is there."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

from personavlm.jobs.images import ImageFolder
from personavlm.jobs.rewards.base import Episode, Judge, JudgeError
from personavlm.jobs.rewards.config import RewardConfig
from personavlm.jobs.rewards.reward import Parts
from personavlm.jobs.rollouts.config import RolloutConfig, SamplingConfig
from personavlm.jobs.rollouts.memory import PublishedMemory, Snapshot
from personavlm.jobs.rollouts.records import Record
from personavlm.jobs.rollouts.tasks import Question
from personavlm.jobs.trajectories import Trajectory
from personavlm.memory_store import StoreError
from personavlm.platform.agent.loop import STOP, Agent, AgentSettings
from personavlm.platform.agent.types import Memory, Message, Outcome
from personavlm.platform.engines.base import Conversation, Engine, no_images
from personavlm.platform.errors import EngineError
from personavlm.platform.prompts.render import PromptPack

SEEDS_EACH = 16  # more than an episode has steps


@dataclass(frozen=True, slots=True)
class Order:
    """A group to roll out: question ``number`` of the run, ``size`` times."""

    number: int
    question: Question
    size: int
    seed: int


@dataclass(frozen=True, slots=True)
class Rollout:
    """One answer. ``trajectory`` and ``reward`` are there, or ``record.failure`` says why they are not."""

    record: Record
    trajectory: Trajectory | None = None
    reward: float | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """All rollouts of one question, failed ones among them."""

    number: int
    rollouts: tuple[Rollout, ...]


class GroupRunner:
    """Runs groups with one engine over one snapshot. Any number of groups at once."""

    def __init__(
        self,
        engine: Engine,
        end: int,
        snapshot: Snapshot,
        prompts: PromptPack,
        judge: Judge,
        config: RolloutConfig,
        rewards: RewardConfig,
        images: ImageFolder,
    ) -> None:
        """``end`` is the id that ends a message."""
        self._engine, self._end, self._snapshot, self._prompts = engine, end, snapshot, prompts
        self._judge, self._config, self._rewards, self._images = judge, config, rewards, images
        self._free = asyncio.Semaphore(config.concurrency)
        self._synced: set[str] = set()

    def synced(self, version: str) -> None:
        """The engine now has these weights."""
        self._synced.add(version)

    async def group(self, order: Order) -> Group:
        """Roll a group out. What fails is in its records; other errors are defects and propagate."""
        random = Random(f"{order.seed}/{order.number}")
        settings = _settings(self._config.sampling, order.question, random)
        async with asyncio.TaskGroup() as tasks:
            rollouts = [
                tasks.create_task(
                    self._rollout(order, replace(settings, seed=random.getrandbits(40) * SEEDS_EACH))
                )
                for _ in range(order.size)
            ]
        return Group(order.number, tuple(task.result() for task in rollouts))

    async def _rollout(self, order: Order, settings: AgentSettings) -> Rollout:
        record = Record.begun(order.number, order.question)
        try:
            async with self._free, asyncio.timeout(self._config.episode_timeout_s):
                outcome = await self._answered(order.question, settings)
                await self._keep_images(order.question.message, outcome.conversation)
        except TimeoutError:
            return _failed(record, f"the episode took longer than {self._config.episode_timeout_s:g} s")
        except (EngineError, StoreError, LookupError) as error:
            return _failed(record, f"{type(error).__name__}: {error}")
        trajectory = Trajectory.of(outcome.conversation, truncated=self._truncated(outcome.conversation))
        versions = tuple(sorted({version for version in trajectory.versions if version}))
        record = record.ended(outcome).model_copy(update={"versions": versions})
        if unknown := set(versions) - self._synced:
            return _failed(record, f"sampled by weights that were never handed out: {', '.join(unknown)}")
        return await self._judged(Episode(order.question, outcome, trajectory), record)

    async def _answered(self, question: Question, settings: AgentSettings) -> Outcome:
        memory: Memory = self._snapshot.memory(question.message)
        if self._config.sampling.paper_compat:
            memory = PublishedMemory(memory, self._config.sampling, Random(settings.seed))
        agent = Agent(self._engine, memory, self._prompts, settings)
        events = [event async for event in agent.run(question.message)]
        outcome = events[-1]
        assert isinstance(outcome, Outcome)
        # The loader reaches into this process; what leaves it must not.
        return replace(outcome, conversation=replace(outcome.conversation, load_image=no_images))

    async def _keep_images(self, message: Message, conversation: Conversation) -> None:
        memory = self._snapshot.memory(message)
        for image in conversation.images:
            if image.sha256 not in self._images:
                self._images.add(await memory.image(message.user, image.sha256))

    async def _judged(self, episode: Episode, record: Record) -> Rollout:
        try:
            verdict = await self._judge.judge(episode)
        except JudgeError as error:
            return _failed(record, f"judge: {error}")
        parts = Parts.of(episode.question, episode.outcome, verdict)
        reward = parts.reward(self._rewards)
        return Rollout(
            record.model_copy(update={"parts": parts.figures(), "reward": reward}),
            episode.trajectory,
            reward,
        )

    def _truncated(self, conversation: Conversation) -> bool:
        """Whether a length limit ended the last reply: neither a stop string nor its own end did."""
        last = conversation.segments[-1]
        return not last.text.endswith(STOP) and conversation.ids[-1] != self._end


def _settings(config: SamplingConfig, question: Question, random: Random) -> AgentSettings:
    """The agent's, with the number of hits of this group."""
    return AgentSettings(
        max_retrievals=config.max_retrievals,
        max_tokens=config.max_tokens,
        temperature=config.temperature,
        k_episodic=random.randint(*config.k_episodic),
        k_semantic=random.randint(*config.k_semantic),
        logprobs=True,
        search_first=config.paper_compat and bool(question.options),
    )


def _failed(record: Record, reason: str) -> Rollout:
    return Rollout(record.model_copy(update={"failure": reason}))


def failures(groups: Sequence[Group]) -> list[str]:
    """Why rollouts were dropped, one reason for each."""
    return [one.record.failure for group in groups for one in group.rollouts if one.trajectory is None]
