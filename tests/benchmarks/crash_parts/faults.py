"""What a loss of power leaves of files that were not flushed: done to a store whose writer was killed.

Only what the store never called durable is spoilt: the last transaction of the journal's log if nobody was
told of it, and table files of rows that the journal still has.
"""

import json
import random
import shutil
import struct
import tempfile
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path

from personavlm.memory_store.storage.journal import Journal
from personavlm.memory_store.storage.lance import connect
from personavlm.memory_store.storage.tables import RECORDS
from personavlm.memory_store.storage.writes import Write, table_of
from tests.benchmarks.crash_parts.ledger import Event, Ledger

_HEADER, _FRAME_HEADER = 32, 24
_JOURNAL, _LOG = "journal.sqlite", "journal.sqlite-wal"

Tear = Callable[[bytes], bytes]
TEARS: Mapping[str, Tear] = {
    "empty": lambda data: b"",
    "cut short": lambda data: data[: len(data) // 2],
    "zeros": lambda data: bytes(len(data)),
    "a hole": lambda data: data[: len(data) // 4] + bytes(len(data) // 4) + data[2 * (len(data) // 4) :],
}


def commits(log: bytes) -> list[int]:
    """Where each transaction of an SQLite log ends, in bytes (https://sqlite.org/fileformat2.html, 4.1)."""
    if len(log) < _HEADER:
        return []
    size, salts = struct.unpack(">I", log[8:12])[0], log[16:24]
    ends, start = [], _HEADER
    while start + _FRAME_HEADER + size <= len(log) and log[start + 8 : start + 16] == salts:
        pages_after_commit = struct.unpack(">I", log[start + 4 : start + 8])[0]
        start += _FRAME_HEADER + size
        if pages_after_commit:
            ends.append(start)
    return ends


def entries(folder: Path, log: bytes) -> dict[int, tuple[str, bytes]]:
    """Table and payload by ``seq`` of what a journal holds whose log were this."""
    with tempfile.TemporaryDirectory() as name:
        shutil.copy(folder / _JOURNAL, name)
        Path(name, _LOG).write_bytes(log)
        with closing(Journal.open(Path(name, _JOURNAL))) as journal:
            return {entry.seq: (entry.table, entry.payload) for entry in journal.entries()}


def tear_log(folder: Path, ledger: Ledger, chance: random.Random) -> bool:
    """Cut the last transaction where nobody was told of it, else leave part of one more behind it."""
    path = folder / _LOG
    log = path.read_bytes() if path.exists() else b""
    ends = commits(log)
    if not ends:
        return False
    start = ends[-2] if len(ends) > 1 else _HEADER
    before, after = entries(folder, log[:start]), entries(folder, log[: ends[-1]])
    last = [event_of(*after[seq]) for seq in after.keys() - before.keys()]
    if last and not ledger.events.intersection(last):
        path.write_bytes(log[: chance.randrange(start + 1, ends[-1])])
    else:
        # A frame of this log that was to be written again, with a page that never came.
        frame = log[start : start + _FRAME_HEADER] + chance.randbytes(chance.randrange(1, 4_096))
        path.write_bytes(log[: ends[-1]] + frame)
    return True


def event_of(table: str, payload: bytes) -> Event:
    """The acknowledgement that follows this entry."""
    row = json.loads(payload.splitlines()[0])
    if table == "turns":
        return "turn", row["user"], int(row["client_id"])
    what = "fact" if table == "semantic" else table
    return what, row["user"], int(row["source"].split()[1])


def tear_table(folder: Path, part: str, tear: Tear) -> bool:
    """Drain the journal into one table, as the writer was about to, and spoil a file of the new version."""
    waiting = entries(folder, (folder / _LOG).read_bytes() if (folder / _LOG).exists() else b"")
    connection = connect(str(folder))
    for name in sorted({table for table, _ in waiting.values()}):
        table = connection.open_table(name)
        stored = set(table.search().select(["seq"]).limit(None).to_arrow()["seq"].to_pylist())
        writes = [
            Write.again(name, "", payload, seq)
            for seq, (owner, payload) in sorted(waiting.items())
            if owner == name and seq > max(stored, default=0)
        ]
        if writes:
            table.add(table_of(writes, 0, RECORDS[name]))
            path = _newest(folder / f"{name}.lance", part)
            path.write_bytes(tear(path.read_bytes()))
            return True
    return False


def _newest(table: Path, part: str) -> Path:
    """The file of the newest version: names of manifests count down."""
    if part == "manifest":
        return min((table / "_versions").glob("*.manifest"))
    folder = table / {"data": "data", "transaction": "_transactions"}[part]
    return max(folder.iterdir(), key=lambda path: path.stat().st_mtime_ns)


def leave_half_an_image(folder: Path, chance: random.Random) -> bool:
    """Part of an image whose writer did not get further."""
    unfinished = folder / ".objects" / "unfinished"
    unfinished.joinpath(f"{chance.getrandbits(128):032x}").write_bytes(chance.randbytes(1_000))
    return True
