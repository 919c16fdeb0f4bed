"""The response stage: think, look things up a few times at most, answer.

Serving and training run this same loop. It knows no model and keeps nothing between two messages: all that a
trajectory is lies in its conversation.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, replace
from time import perf_counter

from personavlm.memory_store.queries import Context, SearchRequest, SearchResult
from personavlm.platform.agent.fitting import shorter_context, shorter_result
from personavlm.platform.agent.grammar import Answer, Retrieve, Step
from personavlm.platform.agent.prompting import first_segments, memory_segment
from personavlm.platform.agent.stream import Delta, StepStream
from personavlm.platform.agent.trajectory import Trajectory
from personavlm.platform.agent.types import AnswerDelta, Event, Memory, Message, StepTrace
from personavlm.platform.engines.base import Chunk, Conversation, Engine, Sampling, Segment
from personavlm.platform.errors import ContextOverflow
from personavlm.platform.prompts.render import PromptPack, default_pack

STOP = ("</answer>", "</retrieve>")
RETRIEVAL_TOKENS = 512
"""Of the context, kept for each retrieval that may follow: room for its step and for the least it brings."""
NO_ANSWER = "I'm sorry, I could not put an answer together this time. Could you ask me again in other words?"


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """``max_retrievals`` per message, then the answer is forced; ``k_*`` are the most hits of each kind.

    ``max_images`` is for the first prompt and for each retrieval, and ``max_images_in_all`` for all of them.
    ``logprobs`` asks a token engine to keep them in the conversation, for who learns from it. With ``seed``
    the n-th step of an episode samples with ``seed + n``. ``search_first`` looks the message up where the
    engine answers without having searched, and lets it answer again.
    """

    max_retrievals: int = 3
    max_tokens: int = 1024
    temperature: float = 0.0
    max_images: int = 4
    max_images_in_all: int = 8
    k_episodic: int = 2
    k_semantic: int = 4
    k_procedural: int = 2
    k_visual: int = 2
    k_turns: int = 4
    logprobs: bool = False
    seed: int | None = None
    search_first: bool = False


class Agent:
    """Answers messages with one engine and one memory. Any number of messages at once."""

    def __init__(
        self,
        engine: Engine,
        memory: Memory,
        prompts: PromptPack | None = None,
        settings: AgentSettings = AgentSettings(),
    ) -> None:
        self.engine = engine
        self.memory = memory
        self.prompts = prompts or default_pack()
        self.settings = settings

    async def run(self, message: Message) -> AsyncGenerator[Event, None]:
        """Answer one message: deltas as they are written, a trace after each step, the outcome at the end.

        Errors of the engine and of the memory propagate. Closing the generator cancels the engine.
        """
        trajectory = await self._begin(message)
        while not trajectory.answer:
            async with aclosing(self._write(trajectory)) as deltas:
                async for delta in deltas:
                    yield delta
            step = trajectory.steps[-1]
            if self._must_search_first(trajectory, step):
                yield await self._retrieve(trajectory, Retrieve(message.text))
            elif isinstance(step.action, Answer) and step.action.text:
                trajectory.answer = step.action.text
                yield trajectory.trace(StepTrace("answer", step.thinking))
            elif trajectory.forced:
                trajectory.answer = NO_ANSWER
                yield AnswerDelta(NO_ANSWER)
                yield trajectory.trace(StepTrace("answer", step.thinking, repaired="nothing to say"))
            elif isinstance(step.action, Retrieve):
                yield await self._retrieve(trajectory, step.action)
            else:
                self._force_answer(trajectory)
                yield trajectory.trace(StepTrace("answer", step.thinking))
        yield trajectory.outcome()

    def _must_search_first(self, trajectory: Trajectory, step: Step) -> bool:
        unsearched = trajectory.retrievals_left == self.settings.max_retrievals > 0
        return self.settings.search_first and unsearched and isinstance(step.action, Answer)

    async def _begin(self, message: Message) -> Trajectory:
        """Read the context and write the first prompt."""
        started = perf_counter()
        context = await self.memory.context(message.user, message.now)
        return Trajectory(
            message,
            Conversation(
                self._first(context, message),
                load_image=lambda ref: self.memory.image(message.user, ref.sha256),
                user=message.user,
                adapter=message.adapter,
            ),
            retrievals_left=self.settings.max_retrievals,
            seen={turn.id for turn in context.open_session},
            context=context,
            context_ms=_since(started),
        )

    def _first(self, context: Context, message: Message) -> list[Segment]:
        """The segments of the first prompt."""
        segments = first_segments(
            self.prompts,
            context,
            message,
            max_retrievals=self.settings.max_retrievals,
            max_images=min(self.settings.max_images, self.settings.max_images_in_all),
        )
        if self.settings.max_retrievals == 0:
            segments[-1] = self._with_answer_now(segments[-1])
        return segments

    async def _write(self, trajectory: Trajectory) -> AsyncGenerator[Delta, None]:
        """Let the engine write one step, and pass on its words. Only waiting for it counts as its time."""
        message, last_chance = trajectory.message, trajectory.forced or trajectory.malformed
        stream = StepStream(message.text, message.zone, accept_plain=last_chance)
        reserve = RETRIEVAL_TOKENS * trajectory.retrievals_left
        sampling = Sampling(
            self.settings.max_tokens,
            self.settings.temperature,
            STOP,
            logprobs=self.settings.logprobs,
            seed=None if self.settings.seed is None else self.settings.seed + len(trajectory.steps),
            reserve=reserve,
        )
        text, trajectory.engine_ms = "", 0.0
        waiting = perf_counter()
        async with aclosing(self._continued(trajectory, sampling)) as chunks:
            async for chunk in chunks:
                trajectory.engine_ms += _since(waiting)
                text += chunk.text
                trajectory.count(chunk)
                for delta in stream.feed(chunk.text):
                    yield delta
                waiting = perf_counter()
        step, held_back = stream.finish()
        for delta in held_back:
            yield delta
        trajectory.conversation.append(Segment("assistant", text))
        trajectory.steps.append(step)

    async def _continued(self, trajectory: Trajectory, sampling: Sampling) -> AsyncGenerator[Chunk, None]:
        """The engine's chunks. What does not fit into its context is shortened until it does."""
        while True:
            try:
                async with aclosing(self.engine.stream(trajectory.conversation, sampling)) as chunks:
                    async for chunk in chunks:
                        yield chunk
                return
            except ContextOverflow:  # before its first chunk, and before it has read anything new
                if not self._shorten(trajectory):
                    raise
                sampling = replace(sampling, reserve=RETRIEVAL_TOKENS * trajectory.retrievals_left)

    def _shorten(self, trajectory: Trajectory) -> bool:
        """Leave out a part of what the engine has not read yet; whether there was any."""
        segments = trajectory.conversation.segments
        if trajectory.found is None and (context := shorter_context(trajectory.context)):
            trajectory.context = context
            segments[:] = self._first(context, trajectory.message)
            trajectory.dropped = f"the context is full: without {context.omitted_turns} turns of the session"
        elif trajectory.found and (result := shorter_result(trajectory.found)):
            trajectory.seen -= trajectory.found.ids() - result.ids()
            trajectory.found = result
            segments.pop()
            segments.append(self._memories(trajectory, result))
            trajectory.dropped = f"the context is full: shown {len(result.ids())} of what was found"
        elif not trajectory.forced:
            trajectory.retrievals_left = 0
            segments.append(self._with_answer_now(segments.pop()))
            trajectory.dropped = "the context is full: no room to look anything up"
        else:
            return False
        return True

    async def _retrieve(self, trajectory: Trajectory, action: Retrieve) -> StepTrace:
        """Search memory and show the engine what came back; after the last search, ask for the answer."""
        started = perf_counter()
        result = await self.memory.search(trajectory.message.user, self._request(trajectory, action))
        search_ms = _since(started)
        trajectory.seen |= result.ids()
        trajectory.retrievals_left -= 1
        trajectory.found = result
        trajectory.conversation.append(self._memories(trajectory, result))
        hits = (*result.procedural, *result.semantic, *result.visual, *result.episodic, *result.turns)
        return trajectory.trace(
            StepTrace(
                "retrieve",
                trajectory.steps[-1].thinking,
                keywords=action.keywords,
                window=action.window,
                found=tuple(dict.fromkeys(hit.item.id for hit in hits)),
                outside_window=tuple(dict.fromkeys(hit.item.id for hit in hits if hit.outside_window)),
                widened=result.widened,
                search_ms=search_ms,
            )
        )

    def _memories(self, trajectory: Trajectory, result: SearchResult) -> Segment:
        """The segment that shows what a retrieval brought."""
        segment = memory_segment(
            self.prompts,
            result,
            trajectory.message.zone,
            retrievals_left=trajectory.retrievals_left,
            max_images=min(
                self.settings.max_images,
                self.settings.max_images_in_all - len(trajectory.conversation.images),
            ),
        )
        return self._with_answer_now(segment) if trajectory.forced else segment

    def _request(self, trajectory: Trajectory, action: Retrieve) -> SearchRequest:
        return SearchRequest(
            keywords=action.keywords,
            query=trajectory.message.text,
            window=action.window,
            image_sha256=tuple(image.sha256 for image in trajectory.message.images),
            exclude=frozenset(trajectory.seen),
            k_episodic=self.settings.k_episodic,
            k_semantic=self.settings.k_semantic,
            k_procedural=self.settings.k_procedural,
            k_visual=self.settings.k_visual,
            k_turns=self.settings.k_turns,
        )

    def _force_answer(self, trajectory: Trajectory) -> None:
        """The engine said nothing: no more searches, but one more chance to answer."""
        trajectory.retrievals_left = 0
        trajectory.found = SearchResult()  # what it has read cannot be shortened any more
        trajectory.conversation.append(Segment("user", self.prompts.render("answer_now")))

    def _with_answer_now(self, segment: Segment) -> Segment:
        # One message, because some chat templates refuse two of the same role in a row.
        return replace(segment, text=f"{segment.text}\n\n{self.prompts.render('answer_now')}")


def _since(started: float) -> float:
    return (perf_counter() - started) * 1000
