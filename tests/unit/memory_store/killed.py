"""What a killed writer leaves in a folder, made to measure: a journal, or a journal half drained."""

import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from personavlm.memory_store import UserKey
from personavlm.memory_store.storage.journal import Journal
from personavlm.memory_store.storage.lance import connect
from personavlm.memory_store.storage.tables import RECORDS
from personavlm.memory_store.storage.writes import Write, table_of

ROOT = Path(__file__).parents[3]

# Well before the first drain is due, which is a second after the first write.
WRITER = """
import json, os, signal, sys
from pathlib import Path
from personavlm.memory_store import TurnDraft, UserKey
from tests.unit.memory_store.encoders import open_store

store = open_store(Path(sys.argv[1]))
for tenant, user, text in json.loads(sys.argv[2]):
    store.append_turn(UserKey(tenant, user), TurnDraft(text, "ok", client_id=text))
os.kill(os.getpid(), signal.SIGKILL)
"""


def write_and_die(folder: Path, said: Sequence[tuple[UserKey, str]]) -> None:
    """Turns whose text is their client id as well, then ``kill -9``."""
    turns = json.dumps([(user.tenant, user.user, text) for user, text in said])
    path = ":".join(str(ROOT / name) for name in ("memory_store", "."))
    command = [sys.executable, "-c", WRITER, str(folder), turns]
    assert subprocess.run(command, env={"PYTHONPATH": path}).returncode == -signal.SIGKILL


def journalled(folder: Path) -> list[str]:
    """What stands in the journal, by table. The store must be closed."""
    journal = Journal.open(folder / "journal.sqlite")
    tables = [entry.table for entry in journal.entries()]
    journal.close()
    return tables


def drain_and_die(folder: Path, entries: int) -> None:
    """Bring the first entries of the journal into the tables and stop there, as a killed drain does."""
    journal = Journal.open(folder / "journal.sqlite")
    found = list(journal.entries())[:entries]
    journal.close()
    assert len(found) == entries
    connection = connect(str(folder))
    for entry in found:
        write = Write.again(entry.table, entry.uid, entry.payload, entry.seq)
        connection.open_table(entry.table).add(table_of([write], 1, RECORDS[entry.table]))
