"""Our log: one JSON object a line, on the standard error stream, which Ray keeps with its own logs.

Texts of users stay out of it. What we say ourselves holds none; errors may quote some, so that of an error
only the kind is written, where it comes from, and the words of those kinds that are known to quote nothing.
"""

from __future__ import annotations

import hashlib
import json
import logging
import sys
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from ray.exceptions import RayTaskError

from personavlm.deployments import origins
from personavlm.memory_store import BusyError, LostEpochError, MovedError, OutOfOrderError, UserKey
from personavlm.platform.config import ServiceConfig
from personavlm.platform.errors import EngineError

ASYNCIO = "asyncio"  # tells of tasks whose error nobody asked for
QUOTES_NOTHING = (BusyError, LostEpochError, MovedError, OutOfOrderError, EngineError)


def configure(part: str, service: ServiceConfig) -> None:
    """Write what this process logs as JSON; ``part`` of the service is named in each line."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines(part, texts=service.log_text))
    for name in ("personavlm", ASYNCIO):
        logger = logging.getLogger(name)
        logger.handlers[:] = [handler]
        logger.setLevel(logging.INFO)
        logger.propagate = False


def shown_user(user: UserKey, service: ServiceConfig) -> str:
    """A user as a log may name one: by the id if so configured, else by a hash of tenant and id."""
    if service.log_user_ids:
        return user.user
    return hashlib.sha256(f"{user.tenant}\0{user.user}".encode()).hexdigest()[:16]


class JsonLines(logging.Formatter):
    """One object a line. ``extra={"fields": {...}}`` adds fields; with ``texts`` errors are told whole."""

    def __init__(self, part: str, *, texts: bool) -> None:
        super().__init__()
        self._part, self._texts = part, texts

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "part": self._part,
            "logger": record.name,
            "message": self._message(record),
        }
        origin = origins.current()
        if origin.request_id:
            line["request_id"] = origin.request_id
        if origin.traceparent:
            line["trace_id"] = origin.traceparent.split("-")[1]
        if record.exc_info and (error := record.exc_info[1]):
            line["error"] = "".join(traceback.format_exception(error)) if self._texts else told(error)
        fields: dict[str, object] = getattr(record, "fields", {})
        return json.dumps(line | fields, ensure_ascii=False, default=str)

    def _message(self, record: logging.LogRecord) -> str:
        if self._texts or not isinstance(record.args, tuple):
            return record.getMessage()
        if record.name == ASYNCIO:  # after the first line it quotes the error
            return record.getMessage().partition("\n")[0]
        shown = tuple(_words(arg) if isinstance(arg, BaseException) else arg for arg in record.args)
        return str(record.msg) % shown if shown else str(record.msg)


def told(error: BaseException) -> str:
    """An error and its causes, each with the places that it came through, without what they might quote."""
    return "\n".join(_chain(error))


def _chain(error: BaseException) -> Iterator[str]:
    seen: set[int] = set()
    link: BaseException | None = error
    while link and id(link) not in seen:
        seen.add(id(link))
        yield _words(link)
        for frame in traceback.extract_tb(link.__traceback__):
            yield f"  {frame.filename}:{frame.lineno} in {frame.name}"
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)


def _words(error: BaseException) -> str:
    cause = error.cause if isinstance(error, RayTaskError) else error  # Ray's own text quotes everything
    kind = type(cause).__name__
    if isinstance(cause, QUOTES_NOTHING):
        return f"{kind}: {cause}"
    return f"{kind}: {cause.strerror}" if isinstance(cause, OSError) else kind
