"""What a tenant may use, by a clock that the tests turn."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from personavlm.deployments.events import Done, Event, Failure, Served
from personavlm.deployments.limits import Limits, TokenBucket
from personavlm.platform.agent.types import AnswerDelta
from personavlm.platform.errors import RequestError
from personavlm.platform.serving_config import LimitsConfig, TenantLimits

ROUNDING = 1e-6


class Clock:
    """Seconds, turned by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


steps = st.lists(st.tuples(st.floats(0, 300), st.integers(0, 5000)), max_size=40)


@given(per_minute=st.integers(1, 10_000), steps=steps)
def test_a_bucket_never_grants_more_than_its_rate_and_a_burst(
    per_minute: int, steps: list[tuple[float, int]]
) -> None:
    clock = Clock()
    bucket = TokenBucket(per_minute, clock)
    charges: list[tuple[float, int]] = []
    for pause, tokens in steps:
        clock.now += pause
        if bucket.wait_s():
            continue
        for start, _ in charges:  # granted: since whenever, what was used is within the budget
            used = sum(amount for when, amount in charges if when >= start)
            assert used <= per_minute / 60 * (clock.now - start) + per_minute + ROUNDING
        bucket.charge(tokens)
        charges.append((clock.now, tokens))


@given(per_minute=st.integers(1, 10_000), steps=steps)
def test_who_waits_as_long_as_told_is_let_in(per_minute: int, steps: list[tuple[float, int]]) -> None:
    clock = Clock()
    bucket = TokenBucket(per_minute, clock)
    for pause, tokens in steps:
        clock.now += pause
        bucket.charge(tokens)
        if wait := bucket.wait_s():
            clock.now += wait / 2
            assert bucket.wait_s() > 0
            clock.now += wait / 2 + ROUNDING
            assert bucket.wait_s() == 0


def refusal(limits: Limits, tenant: str) -> RequestError:
    with pytest.raises(RequestError) as caught:
        limits.of(tenant).enter()
    assert caught.value.status == 429
    return caught.value


def test_messages_at_a_time_are_limited_for_each_tenant_by_itself() -> None:
    limits = Limits(LimitsConfig(concurrency=3, tenants={"big": TenantLimits(concurrency=6)}), 2, Clock())
    for _ in range(2):  # half of three, rounded up
        limits.of("acme").enter()
    assert refusal(limits, "acme").code == "concurrency_limit_exceeded"
    for _ in range(3):
        limits.of("big").enter()
    refusal(limits, "big")
    limits.of("acme").leave()
    limits.of("acme").enter()


def test_a_tenant_with_limits_of_its_own_has_none_of_the_others() -> None:
    limits = Limits(LimitsConfig(concurrency=1, tenants={"free": TenantLimits()}), 1, Clock())
    for _ in range(100):
        limits.of("free").enter()


SERVED = Served("tiny", "1", "", "r", {})
DONE = Done("t", "four", "", (), (), 90, 30, 0, 0, {}, SERVED)
SAID = AnswerDelta("x" * 400)


async def batches(*events: Event) -> AsyncIterator[list[Event]]:
    for event in events:
        yield [event]


async def spend(limits: Limits, *events: Event) -> None:
    tenant = limits.of("acme")
    tenant.enter()
    assert [batch async for batch in tenant.charged(batches(*events))] == [[event] for event in events]
    tenant.leave()


async def test_a_reply_is_charged_when_it_is_complete_and_its_debt_is_waited_for() -> None:
    clock = Clock()
    limits = Limits(LimitsConfig(tokens_per_minute=60), 1, clock)
    await spend(limits, SAID, DONE)  # 120 of 60: a minute's debt
    error = refusal(limits, "acme")
    assert (error.code, error.retry_after_s) == ("token_limit_exceeded", 61)
    clock.now += 30
    assert refusal(limits, "acme").retry_after_s == 31
    clock.now += 31
    await spend(limits, DONE)


async def test_a_reply_that_nobody_waited_for_is_charged_as_far_as_it_was_sent() -> None:
    clock = Clock()
    limits = Limits(LimitsConfig(tokens_per_minute=60), 1, clock)
    tenant = limits.of("acme")
    events = tenant.charged(batches(SAID, DONE))
    await anext(events)
    await events.aclose()
    assert refusal(limits, "acme").retry_after_s == 41  # 100 tokens of 60


async def test_a_reply_that_failed_at_once_costs_nothing() -> None:
    limits = Limits(LimitsConfig(tokens_per_minute=1), 1, Clock())
    for _ in range(3):
        await spend(limits, Failure("down", 502, None, "engine_error"))
