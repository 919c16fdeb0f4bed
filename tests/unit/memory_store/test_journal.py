"""The journal: what was appended comes back in order, what was dropped leaves no byte."""

import random
import sqlite3
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import chain
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from personavlm.memory_store.errors import InUseError, StorageError
from personavlm.memory_store.storage.journal import LOG_BYTES, Entry, Journal
from tests.unit.memory_store.journal_files import bytes_of, entry, log_of


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite"


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    with closing(Journal.open(path)) as journal:
        yield journal


def seqs(journal: Journal) -> list[int]:
    return [entry.seq for entry in journal.entries()]


def test_entries_come_back_as_they_were_in_order_of_seq(journal: Journal, path: Path) -> None:
    written = [
        Entry(2, "core", "", b""),
        Entry(7, "turns", "a|ü\n", b"\0\xff\n\n"),
        Entry(9, "", "b", b"x" * 9_999),
        Entry(2**63 - 1, "links", '"', b"]"),
    ]
    journal.append(written[:3])
    journal.append(written[3:])
    assert list(journal.entries()) == written
    assert journal.first_seq() == 2
    journal.close()
    with closing(Journal.open(path)) as again:
        assert list(again.entries()) == written


def test_what_was_dropped_is_gone_and_the_rest_stays(journal: Journal, path: Path) -> None:
    journal.append([entry(seq) for seq in range(1, 5)])
    journal.append([entry(seq) for seq in range(5, 10)])
    journal.drop_through(4)
    assert seqs(journal) == [5, 6, 7, 8, 9]
    assert journal.first_seq() == 5
    journal.close()
    with closing(Journal.open(path)) as again:
        assert seqs(again) == [5, 6, 7, 8, 9]
        again.drop_through(99)
        assert seqs(again) == []
        assert again.first_seq() is None


def test_a_group_goes_as_a_whole(journal: Journal) -> None:
    journal.append([entry(1), entry(2)])
    journal.append([entry(3)])
    journal.drop_through(1)
    assert seqs(journal) == [1, 2, 3]
    journal.drop_through(2)
    assert seqs(journal) == [3]


def test_no_group_takes_the_place_of_another(journal: Journal) -> None:
    journal.append([entry(1), entry(2)])
    with pytest.raises(StorageError, match=r"journal\.sqlite"):
        journal.append([Entry(2, "core", "u", b"2")])
    assert list(journal.entries()) == [entry(1), entry(2)]
    journal.append([entry(3)])
    assert seqs(journal) == [1, 2, 3]


def test_a_group_that_cannot_be_stored_leaves_nothing_and_blocks_nothing(journal: Journal) -> None:
    too_large = entry(2**63)
    with pytest.raises(OverflowError):
        journal.append([entry(1), too_large])
    journal.append([entry(2)])
    assert seqs(journal) == [2]


def test_who_has_it_open_has_it_alone(journal: Journal, path: Path) -> None:
    with pytest.raises(InUseError, match=r"journal\.sqlite"):
        Journal.open(path)
    journal.close()
    Journal.open(path).close()


def test_a_closed_journal_takes_nothing(journal: Journal) -> None:
    journal.close()
    with pytest.raises(StorageError):
        journal.append([entry(1)])


def test_a_folder_that_is_not_there_is_an_error_of_the_storage(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="absent"):
        Journal.open(tmp_path / "absent" / "journal.sqlite")


def test_every_commit_reaches_the_disk(path: Path) -> None:
    """The settings are of the connection, not of the file, so they are asked of the journal's own."""
    with closing(Journal.open(path)) as journal:
        for pragma, value in [("synchronous", 2), ("journal_mode", "wal"), ("secure_delete", 2)]:
            assert journal._connection.execute(f"PRAGMA {pragma}").fetchone() == (value,)


def test_the_log_and_the_file_stay_small_while_entries_come_and_go(journal: Journal, path: Path) -> None:
    seq = 0
    for _ in range(60):
        journal.append([entry(seq + n, size=4_000) for n in range(1, 201)])
        seq += 200
        journal.drop_through(seq)
    assert log_of(path).stat().st_size <= LOG_BYTES
    assert path.stat().st_size <= LOG_BYTES


def test_threads_may_share_it(journal: Journal) -> None:
    def client(name: int) -> None:
        for number in range(30):
            journal.append([entry(name * 1_000 + number)])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(client, range(8)))
    assert seqs(journal) == [name * 1_000 + number for name in range(8) for number in range(30)]


# Steps of a journal's life: the sizes of a group's entries, or how many of the oldest groups to drop.
STEPS = st.lists(
    st.lists(st.integers(0, 12_000), min_size=1, max_size=30) | st.integers(0, 9), min_size=1, max_size=25
)


def marked(seq: int, size: int) -> Entry:
    """A payload that tells its entry every few bytes."""
    mark = f"<{seq * 2_654_435_761 % 2**32:010d}>".encode()
    return Entry(seq, "turns", "u", mark + mark * (size // len(mark)))


@settings(deadline=None, max_examples=60)
@given(steps=STEPS)
def test_a_purge_leaves_no_byte_of_what_was_dropped(
    steps: Sequence[list[int] | int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("purge") / "journal.sqlite"
    live: list[list[Entry]] = []
    dropped: list[list[Entry]] = []
    seq = 0
    with closing(Journal.open(path)) as journal:
        for step in steps:
            if isinstance(step, int):
                gone, live = live[:step], live[step:]
                dropped += gone
                journal.drop_through(gone[-1][-1].seq if gone else 0)
            else:
                new = [marked(seq + number, size) for number, size in enumerate(step, 1)]
                seq += len(new)
                journal.append(new)
                live.append(new)
        journal.purge()
        found = bytes_of(path)
        assert [entry.seq for entry in chain(*dropped) if entry.payload[:12] in found] == []
        assert list(journal.entries()) == [*chain(*live)]
        journal.append([marked(seq + 1, 0)])


@pytest.mark.parametrize("seed", [5, 6, 8])  # such copies are left by about one history in three
def test_a_purge_takes_the_copies_that_moving_entries_left(seed: int, journal: Journal, path: Path) -> None:
    """Dropping part of what is there moves the rest between pages; SQLite's secure_delete forgets those."""
    chance = random.Random(seed)
    live: list[list[Entry]] = []
    dropped: list[list[Entry]] = []
    for first in range(1, 3_000, 100):
        sizes = chance.choices([0, 0, 30, 600, 6_000], k=chance.choice([1, 5, 60]))
        new = [marked(seq, size) for seq, size in enumerate(sizes, first)]
        journal.append(new)
        live.append(new)
        cut = chance.randrange(len(live) + 1)
        if cut and chance.random() < 0.5:
            journal.drop_through(live[cut - 1][-1].seq)
            dropped, live = dropped + live[:cut], live[cut:]
        journal.purge()
        found = bytes_of(path)
        assert [entry.seq for entry in chain(*dropped) if entry.payload[:12] in found] == []


def test_another_program_can_read_what_is_closed(journal: Journal, path: Path) -> None:
    journal.append([entry(1)])
    journal.close()
    assert not log_of(path).exists()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT last FROM groups").fetchall() == [(1,)]
