"""Journals whose files a crash, a bad disk or a full one has spoilt."""

import os
import resource
import sqlite3
import struct
from collections.abc import Callable
from contextlib import closing
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from personavlm.memory_store.errors import DamagedError, StorageError
from personavlm.memory_store.storage.journal import Entry, Journal
from tests.unit.memory_store.journal_files import contents, copy, entry, log_of

HEADER, FRAME_HEADER = 32, 24  # https://sqlite.org/fileformat2.html, 4.1
AUTOMATIC_CHECKPOINT = 1_000 * 4_096


def commits(log: bytes) -> list[int]:
    """Where in the log each transaction ends, in bytes, leaving out what an earlier use of it left behind."""
    (page,) = struct.unpack(">I", log[8:12])
    ends = []
    for start in range(HEADER, len(log) - FRAME_HEADER, FRAME_HEADER + page):
        if log[start + 8 : start + 16] != log[16:24]:
            break
        if log[start + 4 : start + 8] != bytes(4):
            ends.append(start + FRAME_HEADER + page)
    return ends


class History:
    """A copied journal, and its entries after each transaction; the last one is in the log's last frames."""

    def __init__(self, path: Path, states: list[list[Entry]]) -> None:
        self.path, self.states = path, states

    def expected(self, intact: int) -> list[Entry]:
        """What is to be found when the log is whole up to this byte."""
        ends = commits(log_of(self.path).read_bytes())
        lost = sum(end > intact for end in ends)
        return self.states[len(self.states) - 1 - lost]


def history(folder: Path, *, before: int, drops: bool) -> History:
    """Forty transactions in a log that earlier ones of so many bytes have filled and left."""
    path = folder / "journal.sqlite"
    with closing(Journal.open(path)) as journal:
        states: list[list[Entry]] = [[], []]  # without and with a table
        seq, before_last = 0, 0
        while seq * 100_000 < before:
            seq += 1
            journal.append([entry(seq, size=100_000)])
            states.append([*states[-1], entry(seq, size=100_000)])
        for number in range(40):
            if drops and number % 5 == 4:
                journal.drop_through(before_last)
                states.append([kept for kept in states[-1] if kept.seq > before_last])
            else:
                new = [
                    entry(seq + place, size=37 * place * number % 5_000) for place in range(1, number % 4 + 2)
                ]
                seq, before_last = seq + len(new), seq
                journal.append(new)
                states.append(states[-1] + new)
        return History(copy(path, folder / "copy"), states)


@pytest.fixture(scope="module", params=["a new log", "with drops", "a log used again"])
def written(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> History:
    before = AUTOMATIC_CHECKPOINT + 200_000 if request.param == "a log used again" else 0
    return history(tmp_path_factory.mktemp("log"), before=before, drops=request.param == "with drops")


def entries_of(path: Path) -> list[Entry]:
    with closing(Journal.open(path)) as journal:
        return list(journal.entries())


def test_a_log_used_again_is_what_it_says(tmp_path: Path) -> None:
    """Else the property below would not see old frames behind the new ones."""
    written = history(tmp_path, before=AUTOMATIC_CHECKPOINT + 200_000, drops=False)
    log = log_of(written.path).read_bytes()
    assert commits(log)[-1] < len(log) // 2
    assert len(commits(log)) < len(written.states)


TEARS: dict[str, Callable[[bytes, int], bytes]] = {
    "cut off": lambda log, at: log[:at],
    "zeros to the end": lambda log, at: log[:at] + bytes(len(log) - at),
    "one byte wrong": lambda log, at: log[:at] + bytes([log[at] ^ 0x41]) + log[at + 1 :],
    "noise behind": lambda log, at: log[:at] + os.urandom(len(log) - at),
}


def whole_to(log: bytes, torn: bytes, at: int) -> int:
    """The first byte from ``at`` that is another one or missing: a drop may have cleared pages to zeros."""
    differing = (place for place in range(at, len(log)) if torn[place : place + 1] != log[place : place + 1])
    return next(differing, len(log))


@settings(deadline=None, max_examples=80)
@given(share=st.floats(0, 1, exclude_max=True), tear=st.sampled_from(sorted(TEARS)))
def test_a_torn_log_gives_every_whole_transaction_and_no_half_one(
    written: History, share: float, tear: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    log = log_of(written.path).read_bytes()
    at = int(share * commits(log)[-1])
    torn = TEARS[tear](log, at)
    path = copy(written.path, tmp_path_factory.mktemp("torn"))
    log_of(path).write_bytes(torn)
    expected = written.expected(whole_to(log, torn, at))
    assert entries_of(path) == expected
    with closing(Journal.open(path)) as journal:  # and goes on from there
        journal.append([entry(10_000)])
    assert entries_of(path) == [*expected, entry(10_000)]


@pytest.fixture
def crashed(tmp_path: Path) -> Path:
    """Fifty entries, some of them in the main file, the last one in the log alone."""
    path = tmp_path / "live" / "journal.sqlite"
    path.parent.mkdir()
    with closing(Journal.open(path)) as journal:
        journal.append([entry(seq) for seq in range(1, 50)])
        journal.purge()
        journal.append([entry(50)])
        return copy(path, tmp_path / "crashed")


SPOILT: dict[str, Callable[[bytes], bytes]] = {
    "destroyed header": lambda data: b"\xa5" * 100 + data[100:],
    "zeros": lambda data: bytes(len(data)),
    "text": lambda data: b"no journal",
    "empty": lambda data: b"",
}


@pytest.mark.parametrize("spoil", SPOILT)
def test_a_main_file_that_is_no_database_is_refused_and_left_alone(crashed: Path, spoil: str) -> None:
    """SQLite by itself would delete the log, and with it what was acknowledged."""
    crashed.write_bytes(SPOILT[spoil](crashed.read_bytes()))
    before = contents(crashed)
    with pytest.raises(DamagedError, match=str(crashed)):
        Journal.open(crashed)
    assert contents(crashed) == before


def test_a_log_without_its_main_file_is_refused_and_left_alone(crashed: Path) -> None:
    crashed.unlink()
    before = contents(crashed)
    with pytest.raises(DamagedError, match=str(crashed)):
        Journal.open(crashed)
    assert contents(crashed) == before


def test_a_main_file_with_spoilt_pages_is_refused(crashed: Path) -> None:
    data = crashed.read_bytes()
    crashed.write_bytes(data[:4_096] + b"\xa5" * (len(data) - 4_096))
    with pytest.raises(DamagedError, match=str(crashed)):
        entries_of(crashed)


def test_a_database_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE groups (name TEXT)")
    with pytest.raises(DamagedError, match=str(path)):
        Journal.open(path)


def test_a_kill_before_anything_was_written_leaves_a_journal(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    path.touch()
    assert entries_of(path) == []


def fill_a_disk(path: Path, room: int, results: Connection) -> None:
    """Append with so many bytes of room for a file, until refused; then with all the room."""
    journal = Journal.open(path)
    journal.append([entry(1)])
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, unlimited[1]))
    acknowledged, refused = [1], []
    for seq in range(2, 200, 3):
        try:
            journal.append([entry(seq + place, size=3_000) for place in range(3)])
            acknowledged += [seq, seq + 1, seq + 2]
        except StorageError:
            refused.append(seq)
    while_full = [entry.seq for entry in journal.entries()]
    resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
    journal.append([entry(1_000)])
    results.send((acknowledged, refused, while_full, [entry.seq for entry in journal.entries()]))
    results.close()
    os._exit(0)  # without closing the journal, as a crash would


@pytest.mark.parametrize("room", [60_000, 71_234, 200_000])
def test_a_full_disk_refuses_whole_groups_and_the_journal_goes_on_after_it(room: int, tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    context = get_context("spawn")
    results, sender = context.Pipe(duplex=False)
    child = context.Process(target=fill_a_disk, args=(path, room, sender))
    child.start()
    sender.close()
    acknowledged, refused, while_full, afterwards = results.recv()
    child.join()
    assert refused
    assert len(acknowledged) > 4
    assert while_full == acknowledged
    assert afterwards == [*acknowledged, 1_000]
    assert [entry.seq for entry in entries_of(path)] == [*acknowledged, 1_000]
