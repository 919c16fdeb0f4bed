"""Laws of advantages."""

from __future__ import annotations

import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from personavlm.jobs.grpo.advantages import advantages

REWARDS = st.lists(st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0, 1.5]), min_size=2, max_size=12)


@given(REWARDS)
def test_they_add_up_to_nothing_and_keep_the_order(rewards: list[float]) -> None:
    found = [one for one in advantages(rewards) if one is not None]
    assert sum(found) == pytest.approx(0, abs=1e-9)
    for a, b in zip(rewards, found, strict=True):
        for c, d in zip(rewards, found, strict=True):
            assert (a < c) == (b < d)


@given(REWARDS, st.floats(-5, 5))
def test_a_constant_added_to_all_rewards_changes_nothing(rewards: list[float], constant: float) -> None:
    moved = advantages([reward + constant for reward in rewards])
    if len(set(rewards)) > 1:
        assert moved == pytest.approx(advantages(rewards), abs=1e-6)


@given(REWARDS, st.sets(st.integers(0, 11)))
def test_rollouts_without_a_reward_are_as_if_they_were_not_there(
    rewards: list[float], failed: set[int]
) -> None:
    holes = [None if at in failed else reward for at, reward in enumerate(rewards)]
    valid = [reward for reward in holes if reward is not None]
    found = advantages(holes)
    assert [one for one, reward in zip(found, holes, strict=True) if reward is not None] == advantages(valid)
    assert all(one is None for one, reward in zip(found, holes, strict=True) if reward is None)


def test_the_deviation_is_the_unbiased_one() -> None:
    rewards = [0.0, 0.5, 1.5]
    expected = (1.5 - statistics.fmean(rewards)) / (statistics.stdev(rewards) + 1e-4)
    assert advantages(rewards)[2] == pytest.approx(expected)
    assert advantages(rewards, scale=False)[2] == pytest.approx(1.5 - statistics.fmean(rewards))


def test_rewards_that_are_alike_teach_nothing_and_one_alone_is_left_out() -> None:
    assert advantages([0.5, 0.5, 0.5]) == [0.0, 0.0, 0.0]
    assert advantages([0.5, None]) == [None, None]
