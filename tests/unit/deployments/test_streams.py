"""A silent stream says that it is alive, and stops its source when nobody listens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from personavlm.deployments.streams import HEARTBEAT, with_heartbeats


async def test_all_pieces_come_in_order_with_heartbeats_between() -> None:
    more = asyncio.Event()

    async def source() -> AsyncIterator[str]:
        yield "a"
        await more.wait()
        yield "b"

    seen = []
    async for piece in with_heartbeats(source(), 0.01):
        seen.append(piece)
        if seen.count(HEARTBEAT) == 3:
            more.set()
    assert [piece for piece in seen if piece != HEARTBEAT] == ["a", "b"]
    assert seen[:4] == ["a", HEARTBEAT, HEARTBEAT, HEARTBEAT]


async def test_who_stops_listening_stops_the_source() -> None:
    stopped = asyncio.Event()

    async def source() -> AsyncIterator[str]:
        try:
            yield "a"
            await asyncio.Event().wait()
        finally:
            stopped.set()

    stream = with_heartbeats(source(), 0.01)
    assert [await anext(stream), await anext(stream)] == ["a", HEARTBEAT]
    await stream.aclose()
    assert stopped.is_set()


async def test_what_the_source_raises_reaches_the_listener_behind_its_pieces() -> None:
    async def source() -> AsyncIterator[str]:
        yield "a"
        raise LookupError("broken")

    stream = with_heartbeats(source())
    assert await anext(stream) == "a"
    with pytest.raises(LookupError, match="broken"):
        await anext(stream)
