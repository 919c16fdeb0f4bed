"""PEM against its closed form."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from personavlm.platform.updates.pem import Traits, blend, smoothing

TRAIT = st.floats(1.0, 5.0)
PROFILE = st.tuples(TRAIT, TRAIT, TRAIT, TRAIT, TRAIT)
SCORES = st.lists(st.integers(1, 5), min_size=5, max_size=5)
START: Traits = (3.0, 3.0, 3.0, 3.0, 3.0)


@pytest.mark.parametrize(
    ("turns_before", "expected"),
    [(0, 0.5), (10, 0.538), (20, 0.638), (25, 0.7), (40, 0.862), (50, 0.9), (51, 0.9), (10**6, 0.9)],
)
def test_smoothing_has_the_published_values(turns_before: int, expected: float) -> None:
    assert smoothing(turns_before) == pytest.approx(expected, abs=5e-4)


@given(st.integers(0, 200))
def test_smoothing_never_falls(turns_before: int) -> None:
    assert smoothing(0) <= smoothing(turns_before) <= smoothing(turns_before + 1) <= smoothing(50)


def test_first_turn_moves_half_of_the_way() -> None:
    assert blend(START, (5, 3, 1, 4, 2), 0) == pytest.approx((4.0, 3.0, 2.0, 3.5, 2.5))


@given(PROFILE, st.integers(0, 100))
def test_five_neutral_scores_change_nothing(traits: Traits, turns_before: int) -> None:
    assert blend(traits, (3,) * 5, turns_before) is None
    assert blend(traits, (3,) * 5, turns_before, "per_trait") is None


@given(PROFILE, SCORES, st.integers(0, 100))
def test_a_profile_stays_within_its_scale(traits: Traits, scores: list[int], turns_before: int) -> None:
    moved = blend(traits, scores, turns_before)
    assert moved is None or all(1.0 - 1e-12 <= trait <= 5.0 + 1e-12 for trait in moved)


@given(PROFILE, SCORES, st.integers(0, 100))
def test_per_trait_leaves_neutral_traits_alone(traits: Traits, scores: list[int], turns_before: int) -> None:
    moved = blend(traits, scores, turns_before, "per_trait")
    for before, score, after in zip(traits, scores, moved or traits, strict=True):
        assert score != 3 or after == before


def test_the_rules_differ_where_a_trait_is_neutral_beside_another() -> None:
    settled: Traits = (5.0, 3.0, 3.0, 3.0, 3.0)
    assert blend(settled, (3, 5, 3, 3, 3), 50) == pytest.approx((4.8, 3.2, 3.0, 3.0, 3.0))
    assert blend(settled, (3, 5, 3, 3, 3), 50, "per_trait") == pytest.approx((5.0, 3.2, 3.0, 3.0, 3.0))


@given(st.lists(SCORES, max_size=80))
def test_many_turns_equal_the_closed_form(turns: list[list[int]]) -> None:
    """p_n = p_0 Πλ_i + Σ_i (1 - λ_i) p'_i Π_{j>i} λ_j over the turns that were not skipped."""
    seen = [(0.7 - 0.2 * math.cos(math.pi * min(m, 50) / 50), s) for m, s in enumerate(turns)]
    applied = [(weight, scores) for weight, scores in seen if scores != [3] * 5]
    expected = []
    for trait in range(5):
        total, tail = 0.0, 1.0
        for weight, scores in reversed(applied):
            total += (1 - weight) * scores[trait] * tail
            tail *= weight
        expected.append(total + 3.0 * tail)
    traits = START
    for turns_before, scores in enumerate(turns):
        traits = blend(traits, scores, turns_before) or traits
    assert traits == pytest.approx(tuple(expected))


def test_a_wrong_number_of_scores_is_refused() -> None:
    with pytest.raises(ValueError, match="expected 5 scores"):
        blend(START, (3, 3, 3), 0)
