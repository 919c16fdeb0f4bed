"""Writers are killed under load: what they acknowledged is there, once, in order; the dead are not revived.

A short form of ``tests/benchmarks/crash.py``, which does the same a hundred times.
"""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.benchmarks.crash_parts.disk import Disk, mounting_allowed
from tests.benchmarks.crash_parts.runs import DISK_MB, KINDS, Life, Outcome

# Kinds of kills, and how often one store goes through each. A spoilt table needs entries in the journal
# at the moment of the kill, which are nearly always there.
ROUNDS = {
    "kill": 3,
    "kill, durability commit": 2,
    "kill while opening": 1,
    "torn journal": 2,
    "torn manifest": 1,
    "torn data file": 1,
    "half an image": 1,
}


def run(name: str, life: Life, rounds: int) -> list[Outcome]:
    chance = random.Random(name)
    return [KINDS[name].run(life, chance) for _ in range(rounds)]


def check(outcomes: list[Outcome], rounds: int) -> None:
    assert len([outcome for outcome in outcomes if outcome.opened]) == rounds
    assert [outcome.findings for outcome in outcomes if outcome.findings] == []
    assert all(outcome.acknowledged for outcome in outcomes)
    assert any(outcome.spoilt for outcome in outcomes)


@pytest.mark.parametrize("name", ROUNDS)
def test_what_was_acknowledged_outlives_the_kill_of_its_writer(name: str, tmp_path: Path) -> None:
    check(run(name, Life(tmp_path), ROUNDS[name]), ROUNDS[name])


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    if not mounting_allowed(tmp_path):
        pytest.skip("mounting is not allowed here")
    yield Disk.make(tmp_path / "disk.img", DISK_MB)


@pytest.mark.parametrize("name", ["loss of power", "loss of power, commit"])
def test_what_was_acknowledged_outlives_a_loss_of_power(name: str, tmp_path: Path, disk: Disk) -> None:
    check(run(name, Life(tmp_path / "life", disk), 2), 2)
