"""Every sequence is worked on once, and processes stay in step."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from personavlm.jobs.learning.config import OptimiserConfig
from personavlm.jobs.learning.packing import deal


@given(st.lists(st.integers(1, 50), max_size=30), st.integers(1, 5), st.integers(50, 200))
def test_all_sequences_are_dealt_once(lengths: list[int], world: int, room: int) -> None:
    dealt = deal(lengths, world, room)
    assert sorted(at for packs in dealt for pack in packs for at in pack) == list(range(len(lengths)))
    assert len(dealt) == world and len({len(packs) for packs in dealt}) == 1 and dealt[0]
    assert all(sum(lengths[at] for at in pack) <= room for packs in dealt for pack in packs)


@given(st.lists(st.integers(1, 50), min_size=1, max_size=30), st.integers(1, 5))
def test_nobody_is_idle_while_another_has_two_packs_to_spare(lengths: list[int], world: int) -> None:
    work = [sum(1 for pack in packs if pack) for packs in deal(lengths, world, 50)]
    assert max(work) - min(work) <= 1


def test_a_sequence_longer_than_a_pack_is_refused() -> None:
    with pytest.raises(ValueError, match="longer than a pack"):
        deal([5, 60], 1, 50)


@pytest.mark.train
def test_the_learning_rate_rises_in_a_line_and_falls_in_a_cosine_to_its_floor() -> None:
    pytest.importorskip("torch", reason="needs the extra `train`")
    from personavlm.jobs.learning.optimiser import rate

    config = OptimiserConfig(learning_rate=1.0, warmup=0.1, floor=0.1)
    rates = [rate(step, 100, config) for step in range(101)]
    assert rates[:10] == pytest.approx([(step + 1) / 10 for step in range(10)])
    assert rates[55] == pytest.approx(0.55) and rates[100] == pytest.approx(0.1)
    assert all(a >= b for a, b in pairwise(rates[10:]))
