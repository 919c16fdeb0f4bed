"""LanceDB and the fence over an object store, with writers in processes of their own."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import lancedb
import numpy as np
import pyarrow as pa
import pytest

from personavlm.memory_store.errors import UnsafeStorageError
from personavlm.memory_store.storage.fence import Fence
from personavlm.memory_store.storage.objects import open_objects
from personavlm.memory_store.storage.probe import require_conditional_writes
from tests.unit.memory_store.bucket_server import BucketServer, bucket_server, spoiled

SCHEMA = pa.schema({"epoch": pa.int64(), "seq": pa.int64()})
ADDS = 15
ROOT = Path(__file__).parents[2]

# Adds rows when told to; says after each what it may tell its client.
WRITER = """
import json, sys
import lancedb
from personavlm.memory_store.errors import LostEpochError
from personavlm.memory_store.errors import UnsafeStorageError
from personavlm.memory_store.storage.fence import Fence
from personavlm.memory_store.storage.objects import open_objects

uri, options = sys.argv[1], json.loads(sys.argv[2])
fence = Fence.take(open_objects(uri, options))
fence.record({"rows": 1})
table = lancedb.connect(uri, storage_options=options).open_table("rows")
print("ready", flush=True)
for line in sys.stdin:
    table.add([{"epoch": fence.epoch, "seq": int(line)}])
    try:
        fence.check()
        print("acknowledged", flush=True)
    except LostEpochError:
        print("lost", flush=True)
"""

# Adds rows as fast as it can, with no fence: LanceDB's own commits must keep them apart.
RACER = """
import json, sys
import lancedb

uri, options, epoch, adds = sys.argv[1], json.loads(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
table = lancedb.connect(uri, storage_options=options).open_table("rows")
print("ready", flush=True)
sys.stdin.readline()
for seq in range(adds):
    table.add([{"epoch": epoch, "seq": seq}])
    print(seq, flush=True)
"""


@pytest.fixture(scope="module")
def server() -> Iterator[BucketServer]:
    with bucket_server() as server:
        yield server


def start(code: str, *arguments: str) -> subprocess.Popen[str]:
    """The process, once it is ready."""
    environment = {"PYTHONPATH": str(ROOT / "memory_store"), "RUST_LOG": "error"}
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    assert process.stdout and process.stdout.readline() == "ready\n"
    return process


def say(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdin
    process.stdin.write(f"{line}\n")
    process.stdin.flush()


def hear(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return process.stdout.readline().strip()


def race(server: BucketServer) -> list[tuple[int, int]]:
    """The rows that are there after two writers had every one of theirs acknowledged."""
    uri, options = server.new_uri(), server.options
    lancedb.connect(uri, storage_options=options).create_table("rows", schema=SCHEMA)
    racers = [start(RACER, uri, json.dumps(options), str(epoch), str(ADDS)) for epoch in (1, 2)]
    for racer in racers:
        say(racer, "go")
    for racer in racers:
        acknowledged, _ = racer.communicate(timeout=50)
        assert racer.returncode == 0 and len(acknowledged.split()) == ADDS
    table = lancedb.connect(uri, storage_options=options).open_table("rows")
    stored = table.to_arrow()
    return sorted(zip(stored["epoch"].to_pylist(), stored["seq"].to_pylist(), strict=True))


def test_two_racing_writers_lose_nothing(server: BucketServer) -> None:
    require_conditional_writes(server.new_objects())
    assert race(server) == [(epoch, seq) for epoch in (1, 2) for seq in range(ADDS)]


def test_a_store_that_ignores_conditions_loses_rows_and_is_refused(server: BucketServer) -> None:
    with spoiled(server, drop=frozenset({"if-match", "if-none-match"})) as proxy:
        with pytest.raises(UnsafeStorageError):
            require_conditional_writes(proxy.new_objects())
        assert len(race(proxy)) < 2 * ADDS


def test_a_writer_that_was_replaced_acknowledges_nothing_more(server: BucketServer) -> None:
    uri, options = server.new_uri(), server.options
    table = lancedb.connect(uri, storage_options=options).create_table("rows", schema=SCHEMA)
    with start(WRITER, uri, json.dumps(options)) as writer:
        for seq in (1, 2):
            say(writer, str(seq))
            assert hear(writer) == "acknowledged"
        fence = Fence.take(open_objects(uri, options))
        table.checkout_latest()
        fence.record({"rows": max(table.to_arrow()["seq"].to_pylist()) + 1})
        say(writer, "3")
        assert hear(writer) == "lost"
    table.add([{"epoch": fence.epoch, "seq": 3}])
    fence.check()
    table.checkout_latest()
    epochs, seqs = (table.to_arrow()[name].to_numpy() for name in ("epoch", "seq"))
    assert sorted(zip(epochs, seqs, strict=True)) == [(1, 1), (1, 2), (1, 3), (2, 3)]
    valid = fence.valid("rows", epochs, seqs)
    assert sorted(zip(epochs[valid], seqs[valid], strict=True)) == [(1, 1), (1, 2), (2, 3)]
    assert valid.dtype == np.bool_
