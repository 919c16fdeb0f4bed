"""The ingress replica: HTTP in front, keys, limits and schema; one call to the policy behind."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import FastAPI
from fastapi.responses import JSONResponse
from ray.serve.handle import DeploymentHandle
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from personavlm.deployments import chat_routes, error_replies, lifecycle_routes, logs, memory_routes, tracing
from personavlm.deployments.api import ErrorReply
from personavlm.deployments.chat_metrics import ChatMetrics
from personavlm.deployments.console import router as console_router
from personavlm.deployments.intake import build_intake
from personavlm.deployments.keys import KeyRing
from personavlm.deployments.limits import Limits
from personavlm.deployments.memory_pool import MemoryPool
from personavlm.deployments.policy_replicas import PolicyReplicas
from personavlm.deployments.requests_seen import RequestLog
from personavlm.deployments.services import Services
from personavlm.platform.config import Config, ServiceConfig

READY_TIMEOUT_S = 5


class Ingress:
    """Serve calls `__serve_build_asgi_app__` once the replica is constructed."""

    def __init__(self, config: Config, policy: DeploymentHandle) -> None:
        self._config = config
        logs.configure("ingress", config.service)
        tracing.configure(config.service)
        self._services = Services(
            keys=KeyRing(config.service.keys_file),
            memory=MemoryPool.connect(config),
            policy=PolicyReplicas(policy),
            intake=build_intake(config),
            limits=Limits(config.limits, config.service.ingress_replicas),
            request_timeout_s=config.service.request_timeout_s,
            max_request_timeout_s=config.service.max_request_timeout_s,
        )

    def __serve_build_asgi_app__(self) -> FastAPI:
        return build_app(self._services, self._config.service)


class Application(FastAPI):
    """FastAPI, with a document that tells the truth about invalid requests: they get 400, never 422."""

    _service: ServiceConfig

    def log_requests(self, service: ServiceConfig) -> None:
        """Set what the log may show."""
        self._service = service

    def build_middleware_stack(self) -> ASGIApp:
        """Requests are logged outside of everything, even of what answers after an unexpected error."""
        refusal = error_replies.error_reply(
            "X-Request-Id: use 1 to 128 letters, digits, '.', '_' or '-', or leave it out to be given one",
            400,
            "X-Request-Id",
            "invalid_request_id",
        )
        return RequestLog(super().build_middleware_stack(), refusal, self._service, ChatMetrics())

    def openapi(self) -> dict[str, Any]:
        """The OpenAPI document."""
        document = super().openapi()
        for operations in document["paths"].values():
            for operation in operations.values():
                operation["responses"].pop("422", None)
        return document


def build_app(services: Services, config: ServiceConfig) -> FastAPI:
    """The HTTP application."""
    app = Application(title="PersonaVLM", description="Assistants that remember each user.", redoc_url=None)
    app.state.services = services
    app.log_requests(config)
    app.add_middleware(BodyLimit, max_bytes=int(config.max_body_mb * 2**20))
    error_replies.install(app)
    app.include_router(chat_routes.router)
    app.include_router(memory_routes.router)
    app.include_router(lifecycle_routes.router)
    app.include_router(console_router())

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        """This replica answers."""
        return {"status": "ok"}

    @app.get("/readyz", responses={503: {"model": ErrorReply}})
    async def readyz() -> JSONResponse:
        """Every part that a chat turn needs answers."""
        try:
            await asyncio.wait_for(services.memory.ready(), READY_TIMEOUT_S)
        except TimeoutError:
            return error_replies.error_reply("the memory actors are still starting", 503, code="not_ready")
        return JSONResponse({"status": "ready"})

    return app


class BodyLimit:
    """Refuses bodies over the limit, whether they announce their length or not."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app, self._max_bytes = app, max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = dict(scope["headers"]).get(b"content-length", b"0")
        if announced.isdigit() and int(announced) > self._max_bytes:
            await self._refuse(scope, receive, send)
            return
        body: list[Message] = []
        size, more = 0, True
        while more:
            message = await receive()
            body.append(message)
            size += len(message.get("body", b""))
            more = message["type"] == "http.request" and message.get("more_body", False)
            if size > self._max_bytes:
                await self._refuse(scope, receive, send)
                return

        async def replay() -> Message:
            return body.pop(0) if body else await receive()

        await self._app(scope, replay, send)

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        limit = f"{self._max_bytes / 2**20:g} MB"
        response = error_replies.error_reply(
            f"the body is over the limit of {limit}; send fewer or smaller images", 413, code="body_too_large"
        )
        await response(scope, receive, send)
