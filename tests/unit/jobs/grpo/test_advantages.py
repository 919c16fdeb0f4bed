"""Laws of advantages."""

from __future__ import annotations

from itertools import pairwise
from math import isclose
from statistics import fmean, stdev

import pytest
from hypothesis import given
from hypothesis import strategies as st

from personavlm.jobs.grpo.advantages import EPSILON, Scale, advantages

REWARDS = st.lists(st.floats(0, 1.5), min_size=2, max_size=12)
SCALES: st.SearchStrategy[Scale] = st.sampled_from(["std", "none"])


@given(REWARDS, SCALES)
def test_they_sum_to_nothing_and_keep_the_order(rewards: list[float], scale: Scale) -> None:
    found = advantages(rewards, scale)
    assert abs(sum(found)) < 1e-6
    by_reward = sorted(range(len(rewards)), key=lambda at: rewards[at])
    assert all(found[low] <= found[high] + 1e-9 for low, high in pairwise(by_reward))


@given(REWARDS, SCALES, st.floats(-2, 2))
def test_adding_to_all_rewards_changes_nothing(rewards: list[float], scale: Scale, more: float) -> None:
    moved = advantages([reward + more for reward in rewards], scale)
    for one, other in zip(advantages(rewards, scale), moved, strict=True):
        assert isclose(one, other, abs_tol=1e-6)


@given(REWARDS)
def test_the_definition_with_the_unbiased_deviation(rewards: list[float]) -> None:
    mean, spread = fmean(rewards), stdev(rewards)
    for reward, found in zip(rewards, advantages(rewards), strict=True):
        assert isclose(found * (spread + EPSILON), reward - mean, abs_tol=1e-9)


@given(st.floats(0, 1.5), st.integers(2, 8), SCALES)
def test_equal_rewards_teach_nothing(reward: float, size: int, scale: Scale) -> None:
    assert all(abs(one) < 1e-9 for one in advantages([reward] * size, scale))


@pytest.mark.parametrize("rewards", [[], [1.0]])
def test_one_answer_alone_has_none(rewards: list[float]) -> None:
    with pytest.raises(ValueError, match="no advantages"):
        advantages(rewards)
