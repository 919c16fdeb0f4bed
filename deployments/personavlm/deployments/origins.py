"""Which request something is done for: its id goes wherever the work goes, into every line of every log."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

VALID_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


@dataclass(frozen=True, slots=True)
class Origin:
    """A request's id, and where its trace stands (a W3C ``traceparent``; empty where nothing is traced)."""

    request_id: str = ""
    traceparent: str = ""


NOBODY = Origin()
_origin: ContextVar[Origin] = ContextVar("origin", default=NOBODY)


def current() -> Origin:
    """What is being worked for; ``NOBODY`` outside of requests."""
    return _origin.get()


@contextmanager
def working_for(origin: Origin) -> Iterator[None]:
    """Everything inside the block, tasks and threads that start there included, is done for this request."""
    token = _origin.set(origin)
    try:
        yield
    finally:
        _origin.reset(token)
