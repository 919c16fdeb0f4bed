"""Counters survive, whole."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from personavlm.jobs.grpo.schedule import Counters, Schedule
from personavlm.platform.errors import CommandError

COUNT = st.integers(0, 10**9)
COUNTERS = st.builds(Counters, step=st.integers(1, 10**6), next_question=COUNT, consumed=COUNT, flat=COUNT)


@given(counters=COUNTERS)
def test_round_trip(tmp_path_factory: pytest.TempPathFactory, counters: Counters) -> None:
    folder = tmp_path_factory.mktemp("schedule")
    Schedule(folder).keep(counters)
    assert Schedule(folder).at(counters.step) == counters


def test_a_run_begins_with_nothing_done(tmp_path: Path) -> None:
    assert Schedule(tmp_path).at(0) == Counters()


def test_a_step_that_never_began_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="which questions come at step 3"):
        Schedule(tmp_path).at(3)


def test_a_file_cut_off_is_refused(tmp_path: Path) -> None:
    Schedule(tmp_path).keep(Counters(step=1, next_question=12))
    file = tmp_path / "step-00000001.json"
    file.write_bytes(file.read_bytes()[:20])
    with pytest.raises(CommandError, match="cannot be read"):
        Schedule(tmp_path).at(1)
