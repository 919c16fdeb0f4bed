"""A process that appends to a journal from several threads is killed: what it acknowledged is there, once."""

import os
import random
import signal
from collections.abc import Sequence
from contextlib import closing
from itertools import pairwise
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Lock, Thread

import pytest

from personavlm.memory_store.storage.group_commit import GroupCommit
from personavlm.memory_store.storage.journal import Entry, Journal

ROUNDS, THREADS = 8, 6
SIZES = (10, 600, 9_000)


class Numbered:
    """The commit of a group: numbers the items and appends them, as the store's writer does."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._seq = max((entry.seq for entry in journal.entries()), default=0)

    def __call__(self, items: Sequence[tuple[str, bytes]]) -> None:
        entries = [Entry(seq, "turns", uid, data) for seq, (uid, data) in enumerate(items, self._seq + 1)]
        self._seq += len(items)
        self._journal.append(entries)


def append_for_ever(path: Path, life: int, acks: Connection) -> None:
    """Say ``thread, number`` for each entry that is acknowledged, in the order of each thread."""
    group: GroupCommit[tuple[str, bytes]] = GroupCommit(Numbered(Journal.open(path)))
    saying = Lock()

    def client(thread: int) -> None:
        number = 0
        while True:
            group.submit((f"{life} {thread}", f"{number} ".encode() + b"x" * SIZES[number % len(SIZES)]))
            with saying:
                acks.send((thread, number))
            number += 1

    for thread in range(THREADS):
        Thread(target=client, args=(thread,)).start()


def live_and_die(path: Path, life: int, chance: random.Random) -> dict[int, int]:
    """Kill a process after some acknowledgements; by thread the last one."""
    context = get_context("spawn")
    acks, sender = context.Pipe(duplex=False)
    child = context.Process(target=append_for_ever, args=(path, life, sender))
    child.start()
    sender.close()
    acknowledged: dict[int, int] = {}
    before_kill = chance.randrange(1, 1_500)
    try:
        while True:
            thread, number = acks.recv()
            assert number == acknowledged.get(thread, -1) + 1
            acknowledged[thread] = number
            before_kill -= 1
            if before_kill == 0:
                assert child.pid
                os.kill(child.pid, signal.SIGKILL)  # what it said until then is still read
    except (EOFError, ConnectionResetError):
        child.join()
    assert child.exitcode == -signal.SIGKILL
    return acknowledged


@pytest.mark.parametrize("seed", [1, 2])
def test_kills_lose_nothing_that_was_acknowledged_and_double_nothing(seed: int, tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    chance = random.Random(seed)
    acknowledged: dict[str, int] = {}
    dropped: dict[str, int] = {}
    for life in range(ROUNDS):
        for thread, last in live_and_die(path, life, chance).items():
            acknowledged[f"{life} {thread}"] = last
        with closing(Journal.open(path)) as journal:
            entries = list(journal.entries())
            check(entries, acknowledged, dropped)
            if life % 3 == 2:
                cut = chance.choice(entries).seq
                journal.drop_through(cut)
                left = list(journal.entries())
                gone, kept = entries[: len(entries) - len(left)], entries[len(entries) - len(left) :]
                assert left == kept
                assert all(entry.seq <= cut for entry in gone)
                dropped |= {entry.uid: int(entry.payload.split()[0]) for entry in gone}
    assert sum(acknowledged.values()) > 100 * ROUNDS


def check(entries: list[Entry], acknowledged: dict[str, int], dropped: dict[str, int]) -> None:
    assert all(one.seq < next.seq for one, next in pairwise(entries))
    numbers: dict[str, list[int]] = {}
    for entry in entries:
        number, filling = entry.payload.split(b" ")
        assert len(filling) == SIZES[int(number) % len(SIZES)]
        numbers.setdefault(entry.uid, []).append(int(number))
    for uid, own in numbers.items():  # each once, in order, without a gap
        assert own == list(range(dropped.get(uid, -1) + 1, own[-1] + 1))
    for uid, last in acknowledged.items():
        assert numbers.get(uid, [dropped.get(uid, -1)])[-1] >= last
        # At most the one entry that its thread had under way is there unacknowledged.
        assert numbers.get(uid, [last])[-1] <= last + 1
