import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from personavlm.memory_store.errors import DamagedError, InUseError, LostEpochError
from personavlm.memory_store.storage.fence import Fence
from personavlm.memory_store.storage.local_objects import LocalObjects
from personavlm.memory_store.storage.objects import Objects
from tests.unit.memory_store.bucket_server import BucketServer, bucket_server

NewObjects = Callable[[], Objects]

# Holds the folder, with a child that outlives it: made by fork, or by starting another program.
HOLDER = """
import os, subprocess, sys
from pathlib import Path
from personavlm.memory_store.errors import LostEpochError
from personavlm.memory_store.storage.fence import Fence
from personavlm.memory_store.storage.local_objects import LocalObjects

fence = Fence.take(LocalObjects(Path(sys.argv[1])))
if sys.argv[2] == "fork":
    child = os.fork()
    if child == 0:
        try:
            fence.check()
            print("writer", os.getpid(), flush=True)
        except LostEpochError:
            print("child", os.getpid(), flush=True)
        sys.stdin.read()
        os._exit(0)
else:
    program = "import os, sys; print('child', os.getpid(), flush=True); sys.stdin.read()"
    subprocess.Popen([sys.executable, "-c", program])
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def server() -> Iterator[BucketServer]:
    with bucket_server() as server:
        yield server


@pytest.fixture(scope="module", params=["folder", "bucket"])
def new_objects(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> NewObjects:
    """Makes an empty root."""
    if request.param == "folder":
        return lambda: LocalObjects(tmp_path_factory.mktemp("root"))
    server: BucketServer = request.getfixturevalue("server")
    return server.new_objects


@pytest.fixture
def objects(new_objects: NewObjects) -> Objects:
    return new_objects()


def take_over(objects: Objects, fence: Fence) -> Fence:
    """The next writer. ``fence`` believes that it still is one, as a process does that was paused."""
    fence.release()
    return Fence.take(objects)


def valid(fence: Fence, table: str, rows: list[tuple[int, int]]) -> list[bool]:
    """For each row, given by epoch and seq, whether it is."""
    epochs, seqs = np.array(rows, np.int64).reshape(-1, 2).T
    return list(map(bool, fence.valid(table, epochs, seqs)))


def test_each_writer_has_the_next_epoch(objects: Objects) -> None:
    fence = Fence.take(objects)
    fence.record({"turns": 1})
    fence.check()
    next_fence = take_over(objects, fence)
    assert (fence.epoch, next_fence.epoch) == (1, 2)
    next_fence.check()
    next_fence.record({"turns": 5})
    assert json.loads(objects.get("epoch.json")) == {
        "epoch": 2,
        "begun": {"1": {"turns": 1}, "2": {"turns": 5}},
    }
    next_fence.release()


def test_who_lost_the_epoch_can_do_nothing(objects: Objects) -> None:
    fence = Fence.take(objects)
    next_fence = take_over(objects, fence)
    stored = objects.get("epoch.json")
    for act in (fence.check, lambda: fence.record({"turns": 1}), lambda: fence.forget_before(1)):
        with pytest.raises(LostEpochError, match="epoch 2"):
            act()
    assert objects.get("epoch.json") == stored
    next_fence.release()


def test_an_epoch_that_is_gone_is_lost(objects: Objects) -> None:
    fence = Fence.take(objects)
    objects.delete("epoch.json")
    with pytest.raises(LostEpochError, match="gone"):
        fence.check()
    fence.release()


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"[]", b'{"epoch": 1, "begun": []}', b'{"epoch": "x", "begun": {}}']
)
def test_an_epoch_that_makes_no_sense_is_not_guessed(objects: Objects, data: bytes) -> None:
    objects.put("epoch.json", data)
    for _ in range(2):  # the second finds the folder free again
        with pytest.raises(DamagedError, match=r"epoch\.json"):
            Fence.take(objects)


def test_rows_that_came_too_late_are_told(objects: Objects) -> None:
    first = Fence.take(objects)
    first.record({"turns": 1, "core": 1})
    second = take_over(objects, first)
    second.record({"turns": 11, "core": 4})
    assert valid(second, "turns", [(1, 10), (1, 11), (2, 11), (2, 99)]) == [True, False, True, True]
    assert valid(second, "core", [(1, 3), (1, 4)]) == [True, False]
    third = take_over(objects, second)
    third.record({"turns": 31})
    assert valid(third, "turns", [(1, 11), (2, 30), (2, 31), (3, 31), (4, 7)]) == [
        False,
        True,
        False,
        True,
        True,
    ]
    assert valid(third, "core", [(1, 4), (2, 50)]) == [False, True]
    assert valid(third, "profile", [(1, 1), (3, 9)]) == [True, True]
    assert valid(third, "turns", []) == []
    third.forget_before(3)
    assert list(json.loads(objects.get("epoch.json"))["begun"]) == ["3"]
    assert valid(third, "turns", [(1, 30), (1, 31), (2, 31)]) == [True, False, False]
    third.release()


def test_writers_who_wrote_nothing_leave_no_trace(objects: Objects) -> None:
    fence = Fence.take(objects)
    for _ in range(5):
        fence.record({"turns": 7, "core": 1})
        fence = take_over(objects, fence)
    assert json.loads(objects.get("epoch.json")) == {"epoch": 6, "begun": {"5": {"turns": 7, "core": 1}}}
    fence.release()


@dataclass(frozen=True, slots=True)
class Reign:
    """What one writer does: rows of its own, and rows that each of its forerunners commits too late."""

    records: bool
    rows: int
    late: tuple[int, ...]


REIGNS = st.lists(
    st.builds(Reign, st.booleans(), st.integers(0, 3), st.tuples(*[st.integers(0, 3)] * 5)), max_size=5
)


@given(reigns=REIGNS)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_only_rows_of_the_reigning_writer_are_read(new_objects: NewObjects, reigns: list[Reign]) -> None:
    objects = new_objects()
    kept: list[tuple[int, int]] = []
    denied: list[tuple[int, int]] = []
    last: dict[int, int] = {}  # of each epoch, the last seq that it gave
    fence = Fence.take(objects)
    for reign in reigns:
        fence = take_over(objects, fence)
        last[fence.epoch] = max((seq for _, seq in kept), default=0)
        if reign.records:  # one that crashed before it did writes nothing
            fence.record({"turns": last[fence.epoch] + 1})
            kept += commit(fence.epoch, last, reign.rows)
            for epoch, rows in zip(list(last)[:-1], reign.late, strict=False):
                denied += commit(epoch, last, rows)
    fence = take_over(objects, fence)
    assert valid(fence, "turns", kept + denied) == [True] * len(kept) + [False] * len(denied)
    fence.release()


def commit(epoch: int, last: dict[int, int], rows: int) -> list[tuple[int, int]]:
    last[epoch] += rows
    return [(epoch, last[epoch] - row) for row in range(rows)]


def test_of_many_takers_each_has_an_epoch_of_its_own(server: BucketServer) -> None:
    objects = server.new_objects()
    with ThreadPoolExecutor(6) as pool:
        fences = list(pool.map(lambda _: Fence.take(objects), range(6)))
    assert sorted(fence.epoch for fence in fences) == [1, 2, 3, 4, 5, 6]
    for fence in fences:
        if fence.epoch == 6:
            fence.check()
        else:
            with pytest.raises(LostEpochError):
                fence.check()


def test_threads_share_the_fence(new_objects: NewObjects) -> None:
    fence = Fence.take(new_objects())
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: fence.record({f"table {number}": number}), range(12)))
        list(pool.map(lambda _: fence.check(), range(12)))
    assert valid(fence, "table 7", [(0, 6), (0, 7)]) == [True, False]
    fence.release()


def test_a_folder_has_one_writer(tmp_path: Path) -> None:
    fence = Fence.take(LocalObjects(tmp_path))
    with ThreadPoolExecutor(1) as pool, pytest.raises(InUseError, match=str(tmp_path)):
        pool.submit(Fence.take, LocalObjects(tmp_path)).result()
    fence.check()
    other = Fence.take(LocalObjects(tmp_path / "beside"))
    other.release()
    fence.release()
    Fence.take(LocalObjects(tmp_path)).release()


@pytest.mark.parametrize("kind", ["fork", "exec"])
def test_the_folder_is_free_when_its_writer_is_killed(tmp_path: Path, kind: str) -> None:
    command = [sys.executable, "-c", HOLDER, str(tmp_path), kind]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as holder:
        assert holder.stdout and holder.stdin
        word, child = holder.stdout.readline().split()
        assert word == "child"
        with pytest.raises(InUseError, match=str(tmp_path)):
            Fence.take(LocalObjects(tmp_path))
        holder.send_signal(signal.SIGKILL)
        assert holder.wait() == -signal.SIGKILL
        os.kill(int(child), 0)  # the child lives on
        fence = Fence.take(LocalObjects(tmp_path))
        assert fence.epoch == 2
        fence.release()
        holder.stdin.close()  # now the child ends
