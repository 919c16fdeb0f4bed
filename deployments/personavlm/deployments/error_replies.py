"""Every error leaves the service in OpenAI's shape: `{"error": {message, type, param, code}}`."""

from __future__ import annotations

import logging

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from ray.exceptions import RayError, RayTaskError
from ray.serve.exceptions import RayServeException
from starlette.exceptions import HTTPException

from personavlm.deployments import origins
from personavlm.deployments.api import ErrorDetail, ErrorReply
from personavlm.memory_store import (
    BusyError,
    InvalidError,
    LostEpochError,
    MovedError,
    NotFoundError,
    OutOfOrderError,
)
from personavlm.memory_store.errors import storage_failed
from personavlm.platform.errors import RequestError

log = logging.getLogger(__name__)

_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}


def error_body(message: str, status: int, param: str | None = None, code: str | None = None) -> ErrorReply:
    """The body for an HTTP status."""
    kind = _TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
    return ErrorReply(error=ErrorDetail(message=message, type=kind, param=param, code=code))


def error_reply(
    message: str, status: int, param: str | None = None, code: str | None = None, retry_after_s: int = 1
) -> JSONResponse:
    """The whole response."""
    headers = {"Retry-After": str(retry_after_s)} if status in (429, 503) else None
    body = error_body(message, status, param, code).model_dump()
    return JSONResponse(body, status_code=status, headers=headers)


def install(app: FastAPI) -> None:
    """Answer each kind of error in the one shape."""

    @app.exception_handler(RequestError)
    async def refused(_: Request, error: RequestError) -> JSONResponse:
        return error_reply(error.message, error.status, error.param, error.code, error.retry_after_s)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        return _invalid(error)

    @app.exception_handler(RayTaskError)
    async def remote(_: Request, error: RayTaskError) -> JSONResponse:
        return _remote(error)

    @app.exception_handler(RayServeException)
    @app.exception_handler(RayError)
    async def unavailable(_: Request, error: RayError | RayServeException) -> JSONResponse:
        log.warning("a part of the service is restarting: %s", error)
        return error_reply("a part of the service is restarting; try again", 503, None, "unavailable")

    @app.exception_handler(Exception)
    async def unexpected(_: Request, error: Exception) -> JSONResponse:
        log.error("a request failed", exc_info=error)
        return _failed()

    @app.exception_handler(HTTPException)
    async def http(_: Request, error: HTTPException) -> JSONResponse:
        return error_reply(str(error.detail), error.status_code)


def _remote(error: RayTaskError) -> JSONResponse:
    """An error that the memory actor raised, without the remote traceback that Ray wraps around it."""
    cause = error.cause
    if isinstance(cause, NotFoundError):
        return error_reply(str(cause), 404, None, "not_found")
    if isinstance(cause, OutOfOrderError):
        message = f"{cause}; send turns in order, or set allow_past"
        return error_reply(message, 409, "event_time", "event_time_out_of_order")
    if isinstance(cause, BusyError | LostEpochError | MovedError):
        return error_reply(str(cause), 503, None, "memory_busy")
    if storage_failed(cause):
        log.error("storage failed: %s", cause)
        message = "the storage of memory does not answer; what was sent may be sent again"
        return error_reply(message, 503, None, "storage_unavailable", retry_after_s=5)
    if isinstance(cause, InvalidError):
        return error_reply(str(cause), 400, None, "invalid_value")
    log.error("a memory actor failed", exc_info=error)
    return _failed()


def _failed() -> JSONResponse:
    message = f"the service failed on this request; its log says why, under {origins.current().request_id}"
    return error_reply(message, 500, None, "internal_error")


def _invalid(error: RequestValidationError) -> JSONResponse:
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        return error_reply(f"the body is not valid JSON: {first['ctx']['error']}", 400, None, "invalid_json")
    place = [str(part) for part in first["loc"] if part not in ("body", "query", "path", "header")]
    param = ".".join(place) or None
    missing = first["type"] == "missing"
    message = f"{param or 'body'}: {'this field is required' if missing else first['msg']}"
    return error_reply(message, 400, param, "missing_field" if missing else "invalid_value")
