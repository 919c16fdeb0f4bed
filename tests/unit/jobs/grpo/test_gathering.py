"""Which questions make a batch, and what is counted."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from personavlm.jobs.grpo.gathering import Batch, Demand, gather
from personavlm.jobs.grpo.groups import Group
from personavlm.jobs.grpo.schedule import Counters
from tests.unit.jobs.grpo.rollout_makers import group

REWARDS = st.sampled_from([(0.5, 1.5), (0.5, 0.5), (1.0,), (), (0.0, 0.5, 1.5)])


class Answers:
    """Answers question ``n`` with the rewards at place ``n``, over and over, after so many breaths."""

    def __init__(self, rewards: list[tuple[float, ...]], breaths: list[int]) -> None:
        self._rewards, self._breaths = rewards, breaths
        self.asked: list[int] = []
        self.at_once = self.most_at_once = 0

    async def __call__(self, number: int) -> Group:
        self.asked.append(number)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        for _ in range(self._breaths[number % len(self._breaths)]):
            await asyncio.sleep(0)
        self.at_once -= 1
        return group(number, self._rewards[number % len(self._rewards)])


def gathered(answers: Answers, demand: Demand, before: Counters) -> Batch:
    return asyncio.run(gather(answers, demand, before))


@given(
    rewards=st.lists(REWARDS, min_size=1, max_size=6),
    breaths=st.lists(st.integers(0, 4), min_size=1, max_size=5),
    groups=st.integers(1, 5),
    start=st.integers(0, 9),
    drop_flat=st.booleans(),
)
def test_a_batch_depends_on_the_answers_alone(
    rewards: list[tuple[float, ...]], breaths: list[int], groups: int, start: int, drop_flat: bool
) -> None:
    demand = Demand(groups, 3 * groups, groups, drop_flat)
    before = Counters(step=2, next_question=start, consumed=7)
    slow, quick = Answers(rewards, breaths), Answers(rewards, [0])
    batch = gathered(slow, demand, before)
    assert batch == gathered(quick, demand, before)
    assert [one.number for one in batch.seen] == list(range(start, batch.after.next_question))
    assert len(batch.used) == groups or len(batch.seen) == 3 * groups
    assert all(len(one.rows) >= 2 for one in batch.used)
    assert not drop_flat or not any(one.flat for one in batch.used)
    left_out = batch.after.flat + batch.after.short
    assert len(batch.seen) == len(batch.used) + left_out
    assert batch.after.consumed == 7 + sum(len(one.rows) for one in batch.used)
    assert batch.after.step == 3 and slow.most_at_once <= groups


@given(rewards=st.lists(REWARDS, min_size=1, max_size=6), groups=st.integers(1, 5))
def test_nothing_is_asked_that_nobody_needs(rewards: list[tuple[float, ...]], groups: int) -> None:
    answers = Answers(rewards, [1])
    batch = gathered(answers, Demand(groups, 3 * groups, groups), Counters())
    assert sorted(answers.asked) == [one.number for one in batch.seen]


async def test_what_fails_ends_what_was_under_way() -> None:
    ended = []

    async def ask(number: int) -> Group:
        if number == 0:
            raise RuntimeError("no workers")
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(number)
        raise AssertionError

    async with asyncio.timeout(60):
        with pytest.raises(RuntimeError, match="no workers"):
            await gather(ask, Demand(3, 9, 3), Counters())
    assert ended == [1, 2]


def test_failed_rollouts_are_counted_and_never_scored() -> None:
    async def ask(number: int) -> Group:
        return group(number, (0.5, 1.5), failed=2)

    batch = asyncio.run(gather(ask, Demand(2, 6, 2), Counters(failed=1)))
    assert batch.after.failed == 5
    assert batch.figures()["failed_rollouts"] == 4
    assert batch.figures()["reward"] == 1.0
    assert [round(one.advantage, 2) for one in batch.weighted("none")] == [-0.5, 0.5, -0.5, 0.5]
