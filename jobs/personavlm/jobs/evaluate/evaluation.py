"""Answer questions through `Agent.run` under several conditions, and judge the answers."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from personavlm.jobs.evaluate.ablations import AnyTime, NothingFound
from personavlm.jobs.evaluate.report import Condition, Figures, Report
from personavlm.jobs.rewards.base import Verdict
from personavlm.jobs.rewards.reward import Parts
from personavlm.jobs.rollouts.tasks import Question
from personavlm.platform.agent.loop import Agent, AgentSettings
from personavlm.platform.agent.types import Memory, Message, Outcome
from personavlm.platform.engines.base import Engine
from personavlm.platform.prompts.render import PromptPack

MemoryFor = Callable[[Message], Memory]
"""The memory as it was when a message was written."""


@dataclass(frozen=True, slots=True)
class Manner:
    """How questions are answered: sampled at a temperature, with a memory that may lack something."""

    name: str
    temperature: float = 0.0
    ablated: Callable[[Memory], Memory] | None = None


GREEDY = Manner("greedy")
SAMPLED = Manner("T=1", temperature=1.0)
RETRIEVER_OFF = Manner("retriever off", ablated=NothingFound)
TIME_IGNORED = Manner("time ignored", ablated=AnyTime)
MANNERS = (GREEDY, SAMPLED, RETRIEVER_OFF, TIME_IGNORED)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What is asked, who knows what is right, and with what it is answered.

    At most ``concurrency`` answers are under way at once.
    """

    questions: Sequence[Question]
    verdict: Callable[[Question, Outcome], Verdict]
    memory: MemoryFor
    prompts: PromptPack
    settings: AgentSettings = field(default_factory=AgentSettings)
    concurrency: int = 128

    async def report(self, engine: Engine, manners: Sequence[Manner] = MANNERS) -> Report:
        """Every question in every manner. Errors of the engine propagate."""
        conditions = [await self.condition(engine, manner) for manner in manners]
        return Report(model=engine.model, version=engine.version, conditions=tuple(conditions))

    async def condition(self, engine: Engine, manner: Manner) -> Condition:
        """Every question in one manner."""
        free = asyncio.Semaphore(self.concurrency)

        async def scored(question: Question) -> Parts:
            async with free:
                return self.score(question, await self.answer(engine, question, manner))

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(scored(question)) for question in self.questions]
        return _condition(manner.name, self.questions, [task.result() for task in tasks])

    def score(self, question: Question, outcome: Outcome) -> Parts:
        """What an answer is worth."""
        return Parts.of(question, outcome, self.verdict(question, outcome))

    async def answer(self, engine: Engine, question: Question, manner: Manner = GREEDY) -> Outcome:
        """One answer."""
        memory = self.memory(question.message)
        if manner.ablated:
            memory = manner.ablated(memory)
        settings = replace(self.settings, temperature=manner.temperature)
        agent = Agent(engine, memory, self.prompts, settings)
        events = [event async for event in agent.run(question.message)]
        outcome = events[-1]
        assert isinstance(outcome, Outcome)
        return outcome


def _condition(name: str, questions: Sequence[Question], scores: Sequence[Parts]) -> Condition:
    kinds, forms = defaultdict[str, list[Parts]](list), defaultdict[str, list[Parts]](list)
    for question, score in zip(questions, scores, strict=True):
        kinds[question.kind].append(score)
        forms[f"{len(question.options)} options" if question.options else "open"].append(score)
    return Condition(
        name=name,
        all=Figures.of(scores),
        kinds={kind: Figures.of(kinds[kind]) for kind in sorted(kinds)},
        forms={form: Figures.of(forms[form]) for form in sorted(forms)},
    )
