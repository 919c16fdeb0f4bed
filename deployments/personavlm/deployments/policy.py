"""The policy replica: runs the agent on one message and makes the turn durable before its reply ends."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from datetime import datetime
from time import perf_counter
from typing import cast

from ray import serve
from ray.exceptions import RayError

from personavlm.deployments import logs, tracing
from personavlm.deployments.deadlines import until
from personavlm.deployments.events import (
    ChatJob,
    Done,
    EngineJob,
    EngineResult,
    Event,
    Failure,
    Served,
    joined,
)
from personavlm.deployments.memory_pool import Home, MemoryPool
from personavlm.deployments.replies_seen import attributed
from personavlm.deployments.streams import batches
from personavlm.deployments.tracing import TracedEngine
from personavlm.memory_store import (
    BusyError,
    Context,
    ErasedError,
    ImageRef,
    LostEpochError,
    MovedError,
    NotFoundError,
    OutOfOrderError,
    SearchRequest,
    SearchResult,
    TurnDraft,
    UserKey,
)
from personavlm.memory_store.errors import StorageError, storage_failed
from personavlm.platform.agent.loop import Agent, AgentSettings
from personavlm.platform.agent.types import Message, Outcome, StepTrace
from personavlm.platform.config import Config
from personavlm.platform.engines.base import Conversation, complete
from personavlm.platform.engines.build import build_engine
from personavlm.platform.errors import ContextOverflow, EngineError, EngineTimeout, RequestError
from personavlm.platform.prompts.chosen import chosen_pack

log = logging.getLogger(__name__)
ERASED = (
    "the user's data were erased while the reply was being written; nothing of it is stored; "
    "send the message again if it should be kept"
)
"""Its status is one after which no client sends the message again by itself: that one would be stored."""


class HomeMemory:
    """The memory that the agent sees for one message: its user's home actor."""

    def __init__(self, home: Home, context: Context) -> None:
        self._home, self._context = home, context

    async def context(self, user: UserKey, now: datetime) -> Context:
        """As it was when the message arrived; fetched together with the message's time."""
        return self._context

    async def search(self, user: UserKey, request: SearchRequest) -> SearchResult:
        return cast(SearchResult, await self._home.call("search", request))

    async def image(self, user: UserKey, sha256: str) -> bytes:
        return cast(bytes, await self._home.call("image", sha256))


class Policy:
    """Answers messages. Holds an engine and no state of any conversation."""

    def __init__(self, config: Config) -> None:
        self._pool = MemoryPool.connect(config)
        logs.configure("policy", config.service)
        tracing.configure(config.service)
        self._engine = build_engine(config.engine)
        self._prompts = chosen_pack(config)
        self._settings = AgentSettings(
            max_retrievals=config.agent.max_retrievals,
            max_tokens=config.agent.max_tokens,
            temperature=config.agent.temperature,
        )
        self._adapters = config.engine.allowed_adapters
        self._replica = serve.get_replica_context().replica_id.unique_id

    async def served(self) -> Served:
        """What answers here."""
        return self._served()

    def _served(self) -> Served:
        engine = self._engine
        return Served(engine.model, engine.version, engine.description, self._replica, self._adapters)

    async def generate(self, job: EngineJob) -> EngineResult:
        """One step of the update stage. Raises `EngineError`."""
        home = self._pool.home(job.user)

        async def load_image(ref: ImageRef) -> bytes:
            return cast(bytes, await home.call("image", ref.sha256))

        conversation = Conversation([*job.segments], load_image, job.user, "", [*job.tokens], job.rendered)
        completion = await complete(self._engine, conversation, job.sampling)
        return EngineResult(completion, tuple(conversation.tokens[len(job.tokens) :]))

    async def check_health(self) -> None:
        """Serve replaces the replica where this raises."""
        await self._engine.check_health()

    async def chat(self, job: ChatJob) -> AsyncIterator[list[Event]]:
        """The events of one reply, in batches of whatever piled up while the last one travelled.

        The first batch is empty: the message has been taken on. Ends with `Done` or `Failure`.
        """
        yield []
        async for batch in batches(attributed(job, self._reply_or_failure(job))):
            yield joined(batch)

    async def _reply_or_failure(self, job: ChatJob) -> AsyncGenerator[Event, None]:
        try:
            async for event in self._reply(job):
                yield event
        except RequestError as error:
            yield Failure(error.message, error.status, error.param, error.code)
        except OutOfOrderError as error:
            cause = getattr(error, "cause", error)  # Ray puts the remote traceback around its message
            message = f"{cause}; send turns in order, or set allow_past"
            yield Failure(message, 409, "metadata.event_time", "event_time_out_of_order")
        except (ErasedError, NotFoundError):  # not found: an image that was there when the reply began
            yield Failure(ERASED, 410, None, "user_erased")
        except ContextOverflow as error:
            yield Failure(f"the message is too long: {error}", 400, "messages", "context_length_exceeded")
        except EngineTimeout as error:
            log.warning("the language model took too long: %s", error)
            yield Failure("the language model took too long; try again", 504, None, "engine_timeout")
        except EngineError as error:  # its text names servers, which are not the client's business
            log.warning("the language model failed: %s", error)
            yield Failure("the language model failed; try again", 502, None, "engine_error")
        except (BusyError, LostEpochError, MovedError, StorageError, RayError) as error:
            yield _memory_failure(error)

    async def _reply(self, job: ChatJob) -> AsyncIterator[Event]:
        started = perf_counter()
        home = self._pool.home(job.user)
        async with until(job.deadline, "was being answered") as timeout:
            now, context = await home.call("begin", job.text, job.now, job.allow_past)
            context_ms = _since(started)
            agent = Agent(
                TracedEngine(self._engine), HomeMemory(home, context), self._prompts, self._settings
            )
            message = Message(job.user, job.text, now, job.images, job.instructions, job.adapter)
            async with aclosing(agent.run(message)) as events:  # a client that goes away stops the engine
                async for event in events:
                    if isinstance(event, Outcome):
                        timeout.reschedule(None)  # or the client is told 504 and the turn is stored after all
                        draft = self._draft(job, now, context, event)
                        yield await self._finish(home, job, draft, event, context_ms)
                    elif job.stream and not isinstance(event, StepTrace):
                        yield event

    async def _finish(
        self, home: Home, job: ChatJob, draft: TurnDraft, outcome: Outcome, context_ms: float
    ) -> Done:
        """Store the turn, wait until it is durable, and gather what the client asked to see."""
        started = perf_counter()
        turn = await home.call("append_turn", draft) if job.remember else None
        timings = {
            "context": context_ms,
            "engine": sum(step.engine_ms for step in outcome.steps),
            "search": sum(step.search_ms for step in outcome.steps),
            "append": _since(started),
        }
        ids = list(dict.fromkeys(item for step in outcome.steps for item in step.found)) if job.trace else []
        found = await home.call("found", ids) if ids else []
        return Done(
            turn_id=turn.id if turn else None,
            answer=outcome.answer,
            thinking=outcome.thinking,
            steps=outcome.steps,
            found=tuple(found),
            prompt_tokens=outcome.prompt_tokens,
            completion_tokens=outcome.completion_tokens,
            cached_tokens=outcome.cached_tokens,
            omitted_turns=outcome.omitted_turns,
            timings_ms=timings,
            served=self._served(),
        )

    def _draft(self, job: ChatJob, now: datetime, context: Context, outcome: Outcome) -> TurnDraft:
        offset = now.utcoffset()
        return TurnDraft(
            user_text=job.text,
            assistant_text=outcome.answer,
            event_time=now if job.now else None,
            images=job.images,
            attachments=job.attachments,
            thinking=outcome.thinking,
            model="@".join(filter(None, (job.adapter or self._engine.model, self._engine.version))),
            client_id=job.client_id,
            utc_offset_minutes=int(offset.total_seconds() // 60) if offset else 0,
            allow_past=job.allow_past,
            last_erasure=context.last_erasure,
        )


def _since(started: float) -> float:
    return (perf_counter() - started) * 1000


def _memory_failure(error: Exception) -> Failure:
    """What a client is told while the user's home, or what it stores in, is away for a while."""
    if isinstance(error, BusyError | LostEpochError | MovedError):
        log.warning("a user's memory is busy: %s", error)
        return Failure("the user's memory is busy; try again", 503, None, "memory_busy")
    if storage_failed(cause := getattr(error, "cause", error)):
        log.error("storage failed: %s", cause)
        return Failure("the storage of memory does not answer; try again", 503, None, "storage_unavailable")
    log.warning("a memory actor was lost: %s", error)
    return Failure("the user's memory is restarting; try again", 503, None, "memory_unavailable")
