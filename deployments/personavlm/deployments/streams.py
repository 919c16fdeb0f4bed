"""What stands between what makes the pieces of a reply and who reads them."""

from __future__ import annotations

import asyncio
from asyncio import Queue
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from time import perf_counter
from typing import TypeVar

PAUSE_S = 0.1
"""Between two batches: faster than anybody reads, and a journey between processes costs more than a token."""
EVERY_S = 1.0
HEARTBEAT = ": waiting\n\n"
"""A comment of server-sent events; clients skip it."""
T = TypeVar("T")


async def batches(items: AsyncIterator[T], pause_s: float = PAUSE_S) -> AsyncGenerator[list[T], None]:
    """Hand on what has come in since the last batch left, no two batches within ``pause_s``.

    What comes after a longer silence, the first words among it, leaves at once. Closing it cancels what makes
    the items.
    """
    async with _pumped(items) as (queue, pumping):
        left_at = -pause_s
        while (item := await queue.get()) is not None:
            await asyncio.wait([pumping], timeout=max(0.0, left_at + pause_s - perf_counter()))
            batch = [item]
            while not queue.empty() and (item := queue.get_nowait()) is not None:
                batch.append(item)
            left_at = perf_counter()
            yield batch
            if item is None:
                break
        await pumping


async def with_heartbeats(pieces: AsyncIterator[str], every_s: float = EVERY_S) -> AsyncGenerator[str, None]:
    """``pieces``, and a heartbeat whenever none came for ``every_s``. Closing it cancels what makes them.

    Proxies between a client and us end connections on which nothing travels for a while, and some tell a
    server that its client has left only when it writes. Without this a model that thinks for a minute would
    be cut off, or think for nobody while its tenant's place stays taken.
    """
    async with _pumped(pieces) as (queue, pumping):
        while (piece := await _next(queue, every_s)) is not None:
            yield piece
        await pumping


async def _next(queue: Queue[str | None], patience_s: float) -> str | None:
    try:
        return await asyncio.wait_for(queue.get(), patience_s)
    except TimeoutError:
        return HEARTBEAT


@asynccontextmanager
async def _pumped(
    items: AsyncIterator[T],
) -> AsyncIterator[tuple[asyncio.Queue[T | None], asyncio.Task[None]]]:
    """A task that moves the items into a queue, ``None`` at their end; cancelled where the block ends."""
    queue: Queue[T | None] = Queue()

    async def pump() -> None:
        try:
            async for item in items:
                queue.put_nowait(item)
        finally:
            queue.put_nowait(None)

    pumping = asyncio.create_task(pump())
    try:
        yield queue, pumping
    finally:
        pumping.cancel()
        await asyncio.wait([pumping])
