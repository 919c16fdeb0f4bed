"""Every request from outside: its id, one line of log, what is counted of it, and the span of its trace."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from contextvars import ContextVar
from dataclasses import dataclass, field
from time import perf_counter
from typing import Protocol
from uuid import uuid4

from opentelemetry.trace import Span, SpanKind, StatusCode
from ray.exceptions import RayError
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from personavlm.deployments import logs, tracing
from personavlm.deployments.chat_metrics import Answered, repaired, retrievals
from personavlm.deployments.events import ChatJob, Done, Event, Failure
from personavlm.deployments.origins import VALID_ID, Origin, working_for
from personavlm.memory_store import UserKey
from personavlm.platform.agent.types import AnswerDelta, ThinkingDelta
from personavlm.platform.config import ServiceConfig

log = logging.getLogger(__name__)

GONE = 499
"""The status of a request whose client went away before the end; nobody ever sees it."""


@dataclass(slots=True)
class SeenRequest:
    """What becomes known of a request while it is answered. ``failure`` ended a stream after its 200."""

    request_id: str
    method: str
    started: float = field(default_factory=perf_counter)
    route: str = ""
    status: int = GONE
    tenant: str = ""
    user: UserKey | None = None
    job: ChatJob | None = None
    model: str = ""
    first_token_s: float | None = None
    done: Done | None = None
    failure: Failure | None = None
    seconds: float = 0.0

    def take(self, job: ChatJob, model: str) -> None:
        """The request is a message that can be answered, by this model."""
        self.job, self.user, self.model = job, job.user, model

    async def watch(
        self, events: AsyncGenerator[list[Event], None], *, thinking: bool
    ) -> AsyncGenerator[list[Event], None]:
        """Pass a reply's events on, and note its first token that the client sees and its end."""
        first: type | tuple[type, ...] = (AnswerDelta, ThinkingDelta) if thinking else AnswerDelta
        try:
            async with aclosing(events):
                async for batch in events:
                    if self.first_token_s is None and any(isinstance(event, first) for event in batch):
                        self.first_token_s = perf_counter() - self.started
                    if batch and isinstance(batch[-1], Done):
                        self.done = batch[-1]
                    elif batch and isinstance(batch[-1], Failure):
                        self.failure = batch[-1]
                    yield batch
        except RayError:
            self.failure = Failure("", 503, None, "reply_broke_off")
            raise


class BrokenOffError(Exception):
    """What tells Serve that a response is not whole; without the words of the error that ended it."""


_seen: ContextVar[SeenRequest] = ContextVar("seen")


def seen() -> SeenRequest:
    """The request that is being answered."""
    return _seen.get()


class Counting(Protocol):
    """Where requests are counted: `ChatMetrics`."""

    def count(self, request: Answered) -> None: ...


class RequestLog:
    """Outermost of the application, so that it sees what leaves the service. Serve has given each request
    an ``X-Request-Id`` by then, unless the client did, and puts that one on the response. ``refusal`` answers
    where the client's breaks the rules."""

    def __init__(self, app: ASGIApp, refusal: ASGIApp, service: ServiceConfig, metrics: Counting) -> None:
        self._app, self._refusal, self._service, self._metrics = app, refusal, service, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        given = headers.get(b"x-request-id", "")
        valid = VALID_ID.fullmatch(given) is not None
        request = SeenRequest(given if valid else f"req-{uuid4().hex}", scope["method"])
        _seen.set(request)
        with (
            tracing.span("request", headers.get(b"traceparent", ""), SpanKind.SERVER) as span,
            working_for(Origin(request.request_id, tracing.traceparent())),
        ):
            try:
                await self._answer(request, scope, receive, send, refused=bool(given) and not valid)
            except Exception:  # noqa: BLE001 - the edge: it is logged by now, and Serve's log would quote it
                if request.status == GONE:
                    raise BrokenOffError("the response broke off; our own log says why") from None
            finally:
                self._finish(request, scope)
                _describe(span, request)

    async def _answer(
        self, request: SeenRequest, scope: Scope, receive: Receive, send: Send, *, refused: bool
    ) -> None:
        started = 0

        async def watched(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = message["status"]
            await send(message)
            if message["type"] == "http.response.body" and not message.get("more_body", False):
                request.status = started  # all of it has left

        app = self._refusal if refused else self._app
        await app(scope, receive, watched)

    def _finish(self, request: SeenRequest, scope: Scope) -> None:
        request.seconds = perf_counter() - request.started
        route = scope.get("route")
        request.route = getattr(route, "path", "")  # the template: a path names users
        if request.failure and request.status != GONE:
            request.status = request.failure.status
        self._metrics.count(request)
        log.info("request", extra={"fields": self._fields(request)})

    def _fields(self, request: SeenRequest) -> dict[str, object]:
        fields: dict[str, object] = {
            "method": request.method,
            "route": request.route,
            "status": request.status,
            "ms": round(request.seconds * 1000, 1),
        }
        if request.tenant:
            fields["tenant"] = request.tenant
        if request.user:
            fields["user"] = logs.shown_user(request.user, self._service)
        if request.model:
            fields["model"] = request.model
        if request.failure:
            fields["code"] = request.failure.code
        if done := request.done:
            fields |= _of_reply(request, done)
        if self._service.log_text and request.job:
            fields |= {"text": request.job.text, "answer": done.answer if done else ""}
        return fields


def _of_reply(request: SeenRequest, done: Done) -> dict[str, object]:
    first = request.first_token_s
    return {
        "first_token_ms": None if first is None else round(first * 1000, 1),
        "prompt_tokens": done.prompt_tokens,
        "cached_tokens": done.cached_tokens,
        "completion_tokens": done.completion_tokens,
        "retrievals": retrievals(done),
        "repaired": repaired(done),
    }


def _describe(span: Span, request: SeenRequest) -> None:
    """The span's name and attributes, by OpenTelemetry's conventions for HTTP where they have a word."""
    span.update_name(f"{request.method} {request.route}".strip())
    attributes: dict[str, str | int] = {
        "http.request.method": request.method,
        "http.route": request.route,
        "http.response.status_code": request.status,
        "personavlm.request_id": request.request_id,
        "personavlm.tenant": request.tenant,
    }
    span.set_attributes(attributes)
    if request.status >= 500:
        span.set_status(StatusCode.ERROR)
