"""Group commit: who shares a commit, who leads it, and what everyone of a group is told."""

import signal
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event, Thread, get_ident, main_thread

import pytest

from personavlm.memory_store.storage.group_commit import GroupCommit

PATIENCE_S = 30.0


class Commits:
    """Records the groups. The first commit lasts until ``go`` is set; ``bad`` is an item that fails."""

    def __init__(self, *, held: bool = True, bad: int | None = None) -> None:
        self.groups: list[list[int]] = []
        self.threads: list[int] = []
        self.begun, self.go = Event(), Event()
        self._bad = bad
        if not held:
            self.go.set()

    def __call__(self, group: Sequence[int]) -> None:
        self.groups.append(list(group))
        self.threads.append(get_ident())
        self.begun.set()
        assert self.go.wait(PATIENCE_S)
        if self._bad in group:
            raise OSError("the disk is full")


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


def until_queued(group: GroupCommit[int], number: int) -> None:
    """Wait until so many items wait behind the commit that is going on."""
    until(lambda: len(group._queue) == number)


def enqueue(
    group: GroupCommit[int], commits: Commits, first: int, others: Sequence[int], pool: ThreadPoolExecutor
) -> list[Future[None]]:
    """Start the commit of ``first``, which is held, and have the others wait in this order."""
    calls = [pool.submit(group.submit, first)]
    assert commits.begun.wait(PATIENCE_S)
    for number, item in enumerate(others, 1):
        calls.append(pool.submit(group.submit, item))
        until_queued(group, number)
    return calls


def test_a_lone_caller_commits_on_its_own_thread() -> None:
    commits = Commits(held=False)
    group = GroupCommit(commits)
    for item in range(3):
        group.submit(item)
    assert commits.groups == [[0], [1], [2]]
    assert set(commits.threads) == {get_ident()}


def test_what_comes_during_a_commit_is_the_next_group_in_order() -> None:
    commits = Commits()
    group = GroupCommit(commits)
    with ThreadPoolExecutor(8) as pool:
        calls = enqueue(group, commits, 0, [5, 3, 4, 1], pool)
        assert not any(call.done() for call in calls)
        commits.go.set()
        assert [call.result(PATIENCE_S) for call in calls] == [None] * 5
    assert commits.groups == [[0], [5, 3, 4, 1]]


def test_the_next_group_is_committed_by_one_of_its_own() -> None:
    commits = Commits()
    group = GroupCommit(commits)
    with ThreadPoolExecutor(2) as pool:
        calls = enqueue(group, commits, 0, [1], pool)
        commits.go.set()
        for call in calls:
            call.result(PATIENCE_S)
    assert len(set(commits.threads)) == 2


@pytest.mark.parametrize("bad", [1, 3])
def test_everyone_of_a_group_gets_its_error_and_nobody_else(bad: int) -> None:
    commits = Commits(bad=bad)
    group = GroupCommit(commits)
    with ThreadPoolExecutor(4) as pool:
        calls = enqueue(group, commits, 0, [1, 2, 3], pool)
        commits.go.set()
        errors = [call.exception(PATIENCE_S) for call in calls]
    assert errors[0] is None
    assert [str(error) for error in errors[1:]] == ["the disk is full"] * 3
    group.submit(9)
    assert commits.groups[-1] == [9]


def test_an_error_of_the_first_group_does_not_stop_the_next() -> None:
    commits = Commits(bad=0)
    group = GroupCommit(commits)
    with ThreadPoolExecutor(4) as pool:
        calls = enqueue(group, commits, 0, [1, 2], pool)
        commits.go.set()
        errors = [call.exception(PATIENCE_S) for call in calls]
    assert isinstance(errors[0], OSError)
    assert errors[1:] == [None, None]


def test_many_threads_commit_every_item_once_and_in_their_own_order() -> None:
    committed: list[tuple[int, int]] = []
    at_work = 0

    def commit(items: Sequence[tuple[int, int]]) -> None:
        nonlocal at_work
        at_work += 1
        assert at_work == 1
        time.sleep(0)  # lets others in
        committed.extend(items)
        at_work -= 1

    group = GroupCommit(commit)

    def client(name: int) -> None:
        for number in range(200):
            group.submit((name, number))

    with ThreadPoolExecutor(16) as pool:
        for call in [pool.submit(client, name) for name in range(16)]:
            call.result(PATIENCE_S)
    assert len(committed) == len(set(committed)) == 16 * 200
    for name in range(16):
        assert [number for owner, number in committed if owner == name] == list(range(200))


class Interrupted(Exception):
    """What a signal raises in the main thread."""


@pytest.fixture
def on_signal() -> Iterator[Callable[[Callable[[], None]], None]]:
    """Sets what the main thread does, wherever it is, before it raises ``Interrupted``."""
    before = signal.getsignal(signal.SIGUSR1)

    def set_handler(action: Callable[[], None]) -> None:
        def handle(*_: object) -> None:
            action()
            raise Interrupted

        signal.signal(signal.SIGUSR1, handle)

    yield set_handler
    signal.signal(signal.SIGUSR1, before)


@pytest.mark.parametrize("others", [[], [2, 3]])
@pytest.mark.parametrize("leads", [False, True], ids=["waits", "was just told to lead"])
def test_who_is_interrupted_takes_the_item_back_and_blocks_nobody(
    others: list[int], leads: bool, on_signal: Callable[[Callable[[], None]], None]
) -> None:
    commits = Commits()
    group = GroupCommit(commits)

    def before_raising() -> None:
        if leads:
            commits.go.set()
            until(lambda: group._queue[0].leads)

    on_signal(before_raising)
    with ThreadPoolExecutor(4) as pool:
        calls = enqueue(group, commits, 0, [], pool)

        def disturb() -> None:
            until_queued(group, 1)
            for number, item in enumerate(others, 2):
                calls.append(pool.submit(group.submit, item))
                until_queued(group, number)
            main = main_thread().ident
            assert main
            signal.pthread_kill(main, signal.SIGUSR1)

        disturber = Thread(target=disturb)
        disturber.start()
        with pytest.raises(Interrupted):
            group.submit(1)
        disturber.join()
        commits.go.set()
        for call in calls:
            call.result(PATIENCE_S)
    group.submit(9)
    assert commits.groups == [[0], *([others] if others else []), [9]]
