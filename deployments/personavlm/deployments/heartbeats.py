"""Streams that say they are alive while nothing comes, and so learn that nobody listens any more.

A proxy in front tells a server that a client has left only when something is written to it. Without this a
model that thinks for a minute would think for nobody, and its tenant's place would stay taken.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator

EVERY_S = 1.0
HEARTBEAT = ": waiting\n\n"
"""A comment of server-sent events; clients skip it."""


async def with_heartbeats(pieces: AsyncIterator[str], every_s: float = EVERY_S) -> AsyncGenerator[str, None]:
    """``pieces``, and a heartbeat whenever none came for ``every_s``. Closing it cancels what makes them."""
    queue: asyncio.Queue[str | None] = asyncio.Queue()

    async def pump() -> None:
        try:
            async for piece in pieces:
                queue.put_nowait(piece)
        finally:
            queue.put_nowait(None)

    pumping = asyncio.create_task(pump())
    try:
        while (piece := await _next(queue, every_s)) is not None:
            yield piece
        await pumping
    finally:
        pumping.cancel()
        await asyncio.wait([pumping])


async def _next(queue: asyncio.Queue[str | None], patience_s: float) -> str | None:
    try:
        return await asyncio.wait_for(queue.get(), patience_s)
    except TimeoutError:
        return HEARTBEAT
