"""A disk fills up under load: writes say so, nothing acknowledged is lost, and freed room is used again."""

import resource
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.benchmarks.crash_parts.disk import Disk, mounting_allowed
from tests.benchmarks.crash_parts.runs import DISK_MB, Life, Outcome, acknowledged, look, unnamed
from tests.benchmarks.crash_parts.victim import Victim

DURABILITIES = ["journal", "commit"]
FILE_BYTES = 20_000  # a limit that the journal, and each file of a table that takes a few rows, soon meets


def fill_and_free(
    life: Life, folder: Path, durability: str, fill: Callable[[int], object], free: Callable[[int], object]
) -> tuple[Outcome, list[str]]:
    """Refused writes after ``fill``, acknowledged ones after ``free``, then a kill and a look."""
    outcome = Outcome()
    victim = Victim.start(folder, life.ledger.first(), 1, durability)
    victim.wait_for(lambda: len(victim.events) > 20)
    fill(victim.pid)
    victim.wait_for(lambda: len(victim.refusals) > 5)
    free(victim.pid)
    before = len(victim.events)
    victim.wait_for(lambda: len(victim.events) > before + 20)
    outcome.acknowledged = acknowledged(life, victim)
    look(life, folder, durability, outcome)
    assert outcome.opened and outcome.acknowledged > 40
    assert not outcome.findings, outcome.findings
    return outcome, victim.refusals


@pytest.mark.parametrize("durability", DURABILITIES)
def test_a_full_disk_refuses_and_loses_nothing(tmp_path: Path, durability: str) -> None:
    if not mounting_allowed(tmp_path):
        pytest.skip("mounting is not allowed here")
    disk = Disk.make(tmp_path / "disk.img", DISK_MB)
    life = Life(tmp_path / "life", disk)
    with life.folder() as folder:
        _, refusals = fill_and_free(
            life, folder, durability, lambda pid: disk.fill(), lambda pid: disk.free()
        )
    assert unnamed(refusals) == []


@pytest.mark.parametrize("durability", DURABILITIES)
def test_files_that_may_not_grow_are_like_a_full_disk(tmp_path: Path, durability: str) -> None:
    """With a limit on the size of files, which needs no rights to set."""
    unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    limited = (FILE_BYTES, resource.RLIM_INFINITY)
    life = Life(tmp_path)
    fill_and_free(
        life,
        tmp_path / "store",
        durability,
        lambda pid: resource.prlimit(pid, resource.RLIMIT_FSIZE, limited),
        lambda pid: resource.prlimit(pid, resource.RLIMIT_FSIZE, unlimited),
    )
