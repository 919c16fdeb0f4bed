"""A message carries the time by which its reply must be complete; whoever works on it keeps to that."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from personavlm.platform.errors import RequestError

TIMEOUT_HEADER = "X-Request-Timeout"


@asynccontextmanager
async def until(deadline: float, where: str) -> AsyncIterator[asyncio.Timeout]:
    """Give up the block at ``deadline``, in seconds since 1970, which other nodes can read too.

    Raises `RequestError` with status 504 that says ``where`` the time ran out.
    """
    try:
        async with asyncio.timeout(max(deadline - time.time(), 0)) as timeout:
            yield timeout
    except TimeoutError as error:
        if not timeout.expired():
            raise
        raise RequestError(
            f"the time for this request ran out while it {where}; nothing of it is stored; try again, or "
            f"allow more seconds in the header {TIMEOUT_HEADER}",
            status=504, code="deadline_exceeded",
        ) from error  # fmt: skip
