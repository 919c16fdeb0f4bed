"""`POST /v1/chat/completions` and `GET /v1/models`: one message in, one personalised reply out."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import AsyncIterator
from typing import Any, Literal
from uuid import uuid4

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response, StreamingResponse
from ray.exceptions import RayError

from personavlm.deployments import tracing
from personavlm.deployments.admission import Admitted, Deadline
from personavlm.deployments.api import (
    ChatCompletion,
    ChatCompletionChunk,
    ChatMessage,
    ChatRequest,
    ChunkChoice,
    Delta,
    ErrorReply,
    Model,
    ModelList,
    PromptTokens,
    ReplyChoice,
    ReplyMessage,
    Trace,
    Usage,
)
from personavlm.deployments.deadlines import until
from personavlm.deployments.error_replies import error_body
from personavlm.deployments.events import ChatJob, Done, Event, Failure
from personavlm.deployments.images import CheckedImage
from personavlm.deployments.intake import store, with_transcripts
from personavlm.deployments.keys import Credential
from personavlm.deployments.recordings import CheckedVideo
from personavlm.deployments.requests_seen import seen
from personavlm.deployments.services import Caller, Services, SharedServices, require_replay
from personavlm.deployments.streams import with_heartbeats
from personavlm.deployments.trace import trace_of
from personavlm.memory_store import UserKey
from personavlm.platform.agent.types import AnswerDelta, ThinkingDelta
from personavlm.platform.errors import RequestError

log = logging.getLogger(__name__)

STREAMED: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The reply, or its `ChatCompletionChunk`s where `stream` is set.",
        "content": {"text/event-stream": {}},
    }
}

REFUSALS = (400, 401, 403, 404, 409, 410, 413, 429, 502, 503, 504)
router = APIRouter(responses={status: {"model": ErrorReply} for status in REFUSALS})


@router.get("/v1/models", response_model=ModelList)
async def models(caller: Caller, shared: SharedServices, deadline: Deadline) -> ModelList:
    """The policy that this service runs, and the adapters of it that the caller may use."""
    served = await shared.policy.served(deadline)
    return ModelList(
        data=[
            Model(id=name, version=served.version, description=served.description)
            for name in served.models(caller.tenant)
        ]
    )


@router.post("/v1/chat/completions", response_model=ChatCompletion, responses=STREAMED)
async def chat(
    request: ChatRequest,
    caller: Caller,
    shared: SharedServices,
    deadline: Deadline,
    tenant: Admitted,
) -> Response:
    """Answer the newest user message of `messages`, from everything known about `user`."""
    async with until(deadline, "was being checked"):
        job = await _job(request, caller, shared, deadline)
    seen().take(job, request.model)
    events = tenant.charged(await shared.policy.chat(job))
    events = seen().watch(events, thinking=request.metadata.reasoning)
    reply = Reply(job.client_id, request)
    if not request.stream:
        return await reply.whole(events)
    first: list[Event] = await anext(events)  # an error before the first words gets its own HTTP status
    if isinstance(first[0], Failure):
        raise _as_error(first[0])
    return StreamingResponse(with_heartbeats(reply.chunks(first, events)), media_type="text/event-stream")


async def _job(request: ChatRequest, caller: Credential, shared: Services, deadline: float) -> ChatJob:
    """Check everything that can be wrong with a request; store its images only then."""
    adapter = await shared.policy.adapter(request.model, caller.tenant, deadline)
    for name, used in _replay_fields(request).items():
        if used:
            require_replay(caller, f"metadata.{name}")
    message = _new_message(request.messages)
    user = UserKey(caller.tenant, request.user)
    home = shared.memory.home(user)
    checked = await shared.intake.check(message, "messages")
    text = with_transcripts(message.text, checked)
    if not text.strip() and not any(isinstance(one, CheckedImage | CheckedVideo) for one in checked):
        raise RequestError(
            "no word was heard in the recording" if checked else "the newest user message is empty",
            param="messages",
            code="empty_message",
        )
    if checked and (stated := request.metadata.event_time):
        await home.call("check_order", [("", stated)], request.metadata.allow_past)
    stored = await store(home, checked)
    return ChatJob(
        user=user,
        client_id=f"chatcmpl-{uuid4().hex}",
        origin=tracing.origin(),
        text=text,
        images=stored.images,
        attachments=stored.attachments,
        instructions="\n\n".join(m.text for m in request.messages if m.role in ("system", "developer")),
        now=request.metadata.event_time,
        allow_past=request.metadata.allow_past,
        remember=request.metadata.remember,
        trace=request.metadata.trace,
        stream=request.stream,
        deadline=deadline,
        adapter=adapter,
    )


def _replay_fields(request: ChatRequest) -> dict[str, bool]:
    metadata = request.metadata
    return {
        "event_time": metadata.event_time is not None,
        "allow_past": metadata.allow_past,
        "remember": not metadata.remember,
    }


def _new_message(messages: list[ChatMessage]) -> ChatMessage:
    if messages[-1].role != "user":
        raise RequestError(
            "the last message must be the user's new message", param="messages", code="no_user_message"
        )
    return messages[-1]


class Reply:
    """Turns the policy's events into OpenAI's objects."""

    def __init__(self, reply_id: str, request: ChatRequest) -> None:
        self._id, self._model, self._request = reply_id, request.model, request
        self._created = int(time.time())
        self._opened = False

    async def whole(self, events: AsyncIterator[list[Event]]) -> JSONResponse:
        """The reply in one piece. Raises `RequestError` where the policy failed."""
        done = None
        async for batch in events:
            done = batch[-1]
        if isinstance(done, Failure):
            raise _as_error(done)
        if not isinstance(done, Done):
            raise RequestError("the reply broke off; try again", status=503, code="reply_broke_off")
        thinking = done.thinking if self._reasoning else None
        message = ReplyMessage(content=done.answer, reasoning_content=thinking)
        completion = ChatCompletion(
            id=self._id,
            created=self._created,
            model=self._model,
            choices=[ReplyChoice(message=message)],
            usage=_usage(done),
            personavlm=trace_of(done, self._request.metadata.trace),
        )
        hidden = {} if self._reasoning else {"choices": {"__all__": {"message": {"reasoning_content"}}}}
        return JSONResponse(completion.model_dump(mode="json", exclude=hidden))

    async def chunks(self, first: list[Event], events: AsyncIterator[list[Event]]) -> AsyncIterator[str]:
        """Server-sent events. The chunk with `finish_reason` leaves only after the turn is durable."""
        for event in first:
            yield self._sse(event)
        try:
            async for batch in events:
                yield "".join(self._sse(event) for event in batch)
        except RayError as error:  # the status line has left long ago: the stream itself must say it
            log.warning("a policy replica was lost in the middle of a reply: %s", error)
            message = "the reply broke off; try again"
            yield self._sse(Failure(message, 503, None, "reply_broke_off"))
        yield "data: [DONE]\n\n"

    @property
    def _reasoning(self) -> bool:
        return self._request.metadata.reasoning

    def _sse(self, event: Event) -> str:
        if isinstance(event, Failure):
            body = error_body(event.message, event.status, event.param, event.code)
            return f"data: {body.model_dump_json()}\n\n"
        if isinstance(event, AnswerDelta):
            return self._delta(Delta(role=self._role(), content=event.text))
        if isinstance(event, ThinkingDelta):
            shown = self._reasoning
            return self._delta(Delta(role=self._role(), reasoning_content=event.text)) if shown else ""
        return self._last_chunks(event)

    def _last_chunks(self, done: Done) -> str:
        trace = trace_of(done, self._request.metadata.trace)
        text = self._chunk([ChunkChoice(delta=Delta(), finish_reason="stop")], personavlm=trace)
        options = self._request.stream_options
        return text + (self._chunk([], usage=_usage(done)) if options and options.include_usage else "")

    def _delta(self, delta: Delta) -> str:
        return self._chunk([ChunkChoice(delta=delta)])

    def _chunk(self, choices: list[ChunkChoice], **last: Trace | Usage) -> str:
        chunk = ChatCompletionChunk(id=self._id, created=self._created, model=self._model, choices=choices)
        body = chunk.model_dump(exclude_none=True)  # an absent delta is left out, an open window is null
        body |= {name: value.model_dump(mode="json") for name, value in last.items()}
        return f"data: {json.dumps(body, ensure_ascii=False)}\n\n"

    def _role(self) -> Literal["assistant"] | None:
        opened, self._opened = self._opened, True
        return None if opened else "assistant"


def _usage(done: Done) -> Usage:
    return Usage(
        prompt_tokens=done.prompt_tokens,
        completion_tokens=done.completion_tokens,
        total_tokens=done.prompt_tokens + done.completion_tokens,
        prompt_tokens_details=PromptTokens(cached_tokens=done.cached_tokens),
    )


def _as_error(failure: Failure) -> RequestError:
    return RequestError(failure.message, status=failure.status, param=failure.param, code=failure.code)
