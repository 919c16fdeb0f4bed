"""Pieces of a reply travel together, in order and without loss, and the first does not wait."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from personavlm.deployments.events import Event, Failure, joined
from personavlm.deployments.streams import batches
from personavlm.platform.agent.types import AnswerDelta, ThinkingDelta

FOREVER_S = 60.0
Delta = type[ThinkingDelta] | type[AnswerDelta]


async def told(groups: list[int]) -> AsyncIterator[int]:
    """Numbers from 0, as many at once as ``groups`` says, then a breath."""
    number = 0
    for size in groups:
        for _ in range(size):
            yield number
            number += 1
        await asyncio.sleep(0)


@settings(max_examples=50, deadline=None)
@given(groups=st.lists(st.integers(0, 4), max_size=8), pause_s=st.sampled_from([0.0, 0.001]))
def test_everything_arrives_once_and_in_order(groups: list[int], pause_s: float) -> None:
    async def run() -> list[list[int]]:
        return [batch async for batch in batches(told(groups), pause_s)]

    arrived = asyncio.run(run())
    assert [number for batch in arrived for number in batch] == list(range(sum(groups)))
    assert all(arrived)


async def test_the_first_does_not_wait_and_the_end_ends_every_pause() -> None:
    """The pause is a minute here: whatever waited for it would run into the test's own limit."""
    heard = asyncio.Event()

    async def speak() -> AsyncIterator[int]:
        yield 0
        await heard.wait()
        yield 1
        yield 2

    stream = batches(speak(), FOREVER_S)
    async with asyncio.timeout(FOREVER_S / 2):
        assert await anext(stream) == [0]
        heard.set()
        assert [batch async for batch in stream] == [[1, 2]]


async def test_what_comes_within_a_pause_travels_together() -> None:
    last = asyncio.Event()

    async def speak() -> AsyncIterator[int]:
        yield 0
        yield 1
        yield 2
        await last.wait()

    stream = batches(speak(), 0.01)
    first = await anext(stream)
    if first == [0]:
        assert await anext(stream) == [1, 2]
    else:
        assert first == [0, 1, 2]
    last.set()
    with pytest.raises(StopAsyncIteration):
        await anext(stream)


async def test_a_failure_of_the_source_comes_after_what_it_said() -> None:
    async def fail() -> AsyncIterator[int]:
        yield 1
        raise ValueError("the source broke")

    arrived = []
    with pytest.raises(ValueError, match="broke"):
        async for batch in batches(fail(), 0.0):
            arrived += batch
    assert arrived == [1]


@given(st.lists(st.tuples(st.sampled_from([ThinkingDelta, AnswerDelta]), st.text(min_size=1, max_size=3))))
def test_pieces_of_one_text_become_one_and_no_word_moves(said: list[tuple[Delta, str]]) -> None:
    pieces: list[Event] = [kind(text) for kind, text in said]
    kinds = [type(event) for event in joined(pieces)]
    assert all(one is not other for one, other in itertools.pairwise(kinds))
    assert letters(joined(pieces)) == letters(pieces)


def letters(events: list[Event]) -> list[tuple[type, str]]:
    texts = [event for event in events if isinstance(event, ThinkingDelta | AnswerDelta)]
    return [(type(event), letter) for event in texts for letter in event.text]


def test_a_failure_stays_behind_what_was_said_before_it() -> None:
    failure = Failure("broke", 502, None, "engine_error")
    assert joined([AnswerDelta("a"), AnswerDelta("b"), failure]) == [AnswerDelta("ab"), failure]
    assert joined([]) == []
