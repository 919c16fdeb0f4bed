"""From a life to training data: it is lived through the real store, update stage and agent, and recorded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from io import BytesIO
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from personavlm.jobs.data.rows import ConversationRow, QuestionRow
from personavlm.jobs.synthesize.asks import Ask, Asker, with_form
from personavlm.jobs.synthesize.checks import ask_problems, exchange_problems, reply_problems
from personavlm.jobs.synthesize.config import SynthesizeConfig
from personavlm.jobs.synthesize.correction import Corrector
from personavlm.jobs.synthesize.life import Life, LifeTurn, Picture
from personavlm.jobs.synthesize.living import Household, LifeClock, StoreMemory
from personavlm.jobs.synthesize.pictures import SIDE, draw
from personavlm.jobs.synthesize.recorder import Recorder
from personavlm.jobs.synthesize.reply_targets import settled
from personavlm.jobs.synthesize.rows import Rows, full_text, mixed
from personavlm.jobs.synthesize.teacher import Teacher
from personavlm.memory_store import ImageRef, MemoryStore, Turn, TurnDraft, UserKey
from personavlm.platform.agent.loop import Agent
from personavlm.platform.agent.types import Message, Outcome
from personavlm.platform.engines.base import Engine, Segment
from personavlm.platform.updates.stage import UpdateStage

TENANT = "synthetic"
GAP = timedelta(minutes=60)
FIRST_QUESTION = timedelta(minutes=90)  # behind a session: it is over, and the next has not begun
SPOKEN_SHARE = 0.15  # of the turns, those whose own reply is learned from
PRACTICE_SHARE = 0.2  # of the questions, those kept for reinforcement learning
MOST_OF_A_KIND = 0.2  # of a person's questions


@dataclass(slots=True)
class Supervised:
    """All that comes of a life. ``images`` by their SHA-256; ``archive`` is a store's archive of the user.

    ``left_out`` counts conversations that broke a rule, by the rule.
    """

    conversations: list[ConversationRow]
    questions: list[QuestionRow]
    asks: list[Ask]
    images: dict[str, bytes]
    archive: bytes
    traits: list[tuple[float, ...]]
    retrievals: list[int]
    left_out: Counter[str] = field(default_factory=Counter)
    corrected: int = 0


async def supervise(
    life: Life, config: SynthesizeConfig, home: Household, engine: Engine | None
) -> Supervised:
    """Live through a life. ``engine`` words memories and answers; without one they follow from the plan.

    Raises `EngineError`.
    """
    clock = LifeClock(life.turns[0].time)
    with (
        TemporaryDirectory(prefix="personavlm-life-") as folder,
        home.open_store(Path(folder), clock) as store,
    ):
        return await _Living(life, config, store, clock, engine).finish()


class _Living:
    """One life on its way."""

    def __init__(
        self,
        life: Life,
        config: SynthesizeConfig,
        store: MemoryStore,
        clock: LifeClock,
        engine: Engine | None,
    ) -> None:
        self._life, self._config, self._store, self._clock = life, config, store, clock
        self._user = UserKey(TENANT, life.persona.user)
        self._rng = Random(f"{config.seed} questions {life.persona.user}")
        self._teacher = None if engine else Teacher(life.turns)
        self._engine = engine or self._teacher
        assert self._engine is not None
        self._recorder = Recorder(self._engine)
        self._stage = UpdateStage(store, self._recorder, clock=clock)
        self._agent = Agent(self._engine, StoreMemory(store))
        self._corrector = Corrector(engine, config.corrections)
        self._rows = Rows(life.persona.user, (config.output / "images").absolute())
        self._turns: dict[str, Turn] = {}
        self._asks: list[Ask] = []
        self._images: dict[str, bytes] = {}
        self._traits: list[tuple[float, ...]] = []
        self._retrievals: list[int] = []
        self._left_out: Counter[str] = Counter()

    async def finish(self) -> Supervised:
        """Session by session: the turns, what they leave in memory, and questions about all so far."""
        for session in self._life.sessions():
            for turn in session:
                await self._live(turn)
            self._clock.now = session[-1].time + GAP
            await self._update()
            await self._question(session)
        archive = BytesIO()
        self._store.transfer.export_user(self._user, archive)
        return Supervised(
            conversations=mixed(self._rows.conversations, self._config.mix, self._rng),
            questions=self._rows.questions,
            asks=self._asks,
            images=self._images,
            archive=archive.getvalue(),
            traits=self._traits,
            retrievals=self._retrievals,
            left_out=self._left_out,
            corrected=self._corrector.corrected,
        )

    async def _live(self, turn: LifeTurn) -> None:
        self._clock.now = turn.time
        images = self._shown(turn.beat.picture)
        if self._rng.random() < SPOKEN_SHARE:
            await self._reply(turn, images)
        draft = TurnDraft(
            turn.user_text,
            turn.assistant_text,
            event_time=turn.time,
            images=images,
            client_id=turn.id,
            utc_offset_minutes=self._life.persona.utc_offset_minutes,
        )
        self._turns[turn.id] = self._store.append_turn(self._user, draft)
        await self._update()
        self._traits.append(self._store.profile(self._user).traits)

    async def _update(self) -> None:
        """Let the update stage work, and keep what it was answered."""
        await self._stage.run(self._user)
        for exchange in self._recorder.taken():
            if problem := next(exchange_problems(exchange), ""):
                self._left_out[problem.partition(":")[0]] += 1
            else:
                self._rows.add_memory(exchange.segments)

    async def _reply(self, turn: LifeTurn, images: tuple[ImageRef, ...]) -> None:
        """The reply to a turn, as the agent gives it."""
        self._ask_teacher(None)
        outcome = await self._answer(turn.user_text, turn.time, images)
        segments = await self._corrector.corrected_reply(outcome.conversation.segments, reply_problems)
        if segments is None:
            self._left_out["reply"] += 1
        else:
            self._rows.add_reasoning("turn", segments)

    async def _question(self, session: Sequence[LifeTurn]) -> None:
        for ask in self._chosen(session):
            images = self._shown(ask.picture)
            if problem := next(ask_problems(ask, self._life.turns), ""):
                raise ValueError(problem)  # the plan itself is wrong
            self._ask_teacher(ask)
            self._clock.now = ask.time
            outcome = await self._answer(full_text(ask), ask.time, images)
            segments = await self._corrector.corrected_reply(
                outcome.conversation.segments, partial(_answer_problems, ask)
            )
            if segments is None:
                self._left_out[f"question: {ask.kind}"] += 1
            elif ask.kind != "absent" and self._rng.random() < PRACTICE_SHARE:
                self._rows.add_question(ask, self._turns, images)
                self._asks.append(ask)
            else:
                self._retrievals.append(len(outcome.steps) - 1)
                self._rows.add_reasoning(ask.kind, segments)
                self._asks.append(ask)

    def _chosen(self, session: Sequence[LifeTurn]) -> Iterator[Ask]:
        """Some questions about all that was told so far, none asked before with the same answer."""
        last = session[-1]
        told = [turn for turn in self._life.turns if turn.session <= last.session]
        start = last.time + FIRST_QUESTION
        possible = list(Asker(self._life.persona, told, start, self._rng).all())
        asked = {(ask.kind, ask.text, ask.gold) for ask in self._asks}
        kinds = Counter(ask.kind for ask in self._asks)
        self._rng.shuffle(possible)
        wanted = round(self._config.questions_per_turn * len(told)) - len(self._asks)
        number = 0
        for ask in sorted(possible, key=lambda one: kinds[one.kind]):
            if number >= wanted:
                return
            if (ask.kind, ask.text, ask.gold) in asked or kinds[ask.kind] > MOST_OF_A_KIND * (
                len(self._asks) + 5
            ):
                continue
            kinds[ask.kind] += 1
            id = f"{self._life.persona.user}-question-{len(self._turns):03d}-{number:02d}"
            time = start + timedelta(minutes=number)
            number += 1
            yield with_form(ask, id, time, self._config.forms, self._rng)

    def _ask_teacher(self, ask: Ask | None) -> None:
        if self._teacher:
            self._teacher.asked = ask

    async def _answer(self, text: str, now: datetime, images: tuple[ImageRef, ...]) -> Outcome:
        message = Message(self._user, text, now, images)
        events = [event async for event in self._agent.run(message)]
        outcome = events[-1]
        assert isinstance(outcome, Outcome)
        return outcome

    def _shown(self, picture: Picture | None) -> tuple[ImageRef, ...]:
        if picture is None:
            return ()
        data = draw(picture)
        ref = self._store.put_image(self._user, data, "image/png", SIDE, SIDE)
        self._images[ref.sha256] = data
        return (ref,)


def _answer_problems(ask: Ask, segments: Sequence[Segment]) -> Iterator[str]:
    yield from reply_problems(segments)
    if not settled(ask, segments):
        yield "the answer is wrong, or does not follow from what was shown"
