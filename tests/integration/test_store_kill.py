"""A writer process is killed at random points: what it acknowledged is there, nothing is there twice."""

import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from personavlm.memory_store import MemoryKind, TurnDraft, UserKey
from tests.unit.memory_store.encoders import open_store

ROOT = Path(__file__).parents[2]
ROUNDS = 12
USER = UserKey("tenant", "user")

# Every turn is sent until it is acknowledged, as a client does that lost the connection.
WRITER = """
import sys
from pathlib import Path
from personavlm.memory_store import Add, MemoryKind, TurnDraft, UserKey
from tests.unit.memory_store.encoders import open_store

store = open_store(Path(sys.argv[1]))
user = UserKey("tenant", "user")
number = int(sys.argv[2])
print("ready", flush=True)
while True:
    turn = store.append_turn(user, TurnDraft(f"turn {number}", "ok", client_id=str(number)))
    print(f"turn {number}", flush=True)
    adds = [Add(f"fact {number} {part}", turn.event_time, (turn.id,)) for part in "ab"]
    store.apply(user, MemoryKind.SEMANTIC, f"turn:{turn.id}", adds)
    print(f"fact {number}", flush=True)
    if number % 10 == 0:
        store.maintain()
    number += 1
"""


def write_until_killed(folder: Path, first: int, chance: random.Random) -> list[str]:
    """Start a writer at turn ``first``, kill it somewhere in its work; what it acknowledged."""
    command = [sys.executable, "-c", WRITER, str(folder), str(first)]
    sources = ":".join(str(ROOT / name) for name in ("memory_store", "."))
    environment = {"PYTHONPATH": sources}
    writer = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert writer.stdout
    assert writer.stdout.readline() == "ready\n"
    acknowledged = [writer.stdout.readline() for _ in range(chance.randrange(1, 30))]
    time.sleep(chance.uniform(0, 0.02))  # waits for nothing: it picks the point of the kill
    writer.send_signal(signal.SIGKILL)
    acknowledged += writer.stdout.readlines()
    writer.stdout.close()
    assert writer.wait() == -signal.SIGKILL
    return [line.strip() for line in acknowledged if line.endswith("\n")]


def test_what_was_acknowledged_outlives_the_kill_of_its_writer(tmp_path: Path) -> None:
    chance = random.Random(7)
    acknowledged: list[str] = []
    first = 0
    for _ in range(ROUNDS):
        acknowledged += write_until_killed(tmp_path, first, chance)
        # The next writer begins with the last turn that was acknowledged, and so repeats it.
        first = max(int(line.split()[1]) for line in acknowledged)
    store = open_store(tmp_path)
    turns = store.turns(USER)
    assert [turn.user_text for turn in turns] == [f"turn {number}" for number in range(len(turns))]
    assert [turn.index for turn in turns] == list(range(len(turns)))
    facts = Counter(memory.text for memory in store.memories(USER, MemoryKind.SEMANTIC))
    assert set(facts.values()) == {1}
    for line in acknowledged:
        name, number = line.split()
        if name == "turn":
            assert int(number) < len(turns)
        else:
            assert facts[f"fact {number} a"] == facts[f"fact {number} b"] == 1
    # A step is written whole or not at all.
    assert {text[:-1] + "a" for text in facts} == {text for text in facts if text.endswith("a")}
    again = store.append_turn(USER, TurnDraft("turn 0", "ok", client_id="0"))
    assert again == turns[0]
