"""Work stops at its deadline, and only then."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

import pytest

from personavlm.deployments.deadlines import until
from personavlm.platform.errors import RequestError


async def test_work_that_is_late_is_stopped_and_says_where() -> None:
    with pytest.raises(RequestError, match="while it waited for nobody") as caught:
        async with until(time.time() + 0.01, "waited for nobody"):
            await asyncio.Event().wait()
    assert (caught.value.status, caught.value.code) == (504, "deadline_exceeded")


async def test_a_deadline_in_the_past_stops_the_work_at_its_first_wait() -> None:
    begun = False
    with pytest.raises(RequestError):
        async with until(0, "was late"):
            begun = True
            await asyncio.Event().wait()
    assert begun


async def test_what_is_complete_is_no_longer_stopped() -> None:
    async with until(time.time() + 0.01, "was being answered") as timeout:
        timeout.reschedule(None)
        await asyncio.sleep(0.05)


async def test_a_timeout_of_the_work_itself_is_not_the_deadline() -> None:
    with pytest.raises(TimeoutError, match="of its own"):
        async with until(time.time() + 60, "was being answered"):
            raise TimeoutError("of its own")


async def test_a_generator_that_is_late_is_closed_down_to_what_it_waits_for() -> None:
    closed = []

    async def engine() -> AsyncGenerator[str, None]:
        try:
            yield "begun"
            await asyncio.Event().wait()
        finally:
            closed.append("engine")

    async def reply() -> AsyncIterator[str]:
        async with until(time.time() + 0.01, "was being answered"), aclosing(engine()) as pieces:
            async for piece in pieces:
                yield piece

    with pytest.raises(RequestError):
        assert [piece async for piece in reply()]
    assert closed == ["engine"]
