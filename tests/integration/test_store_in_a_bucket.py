"""The store's own properties and kills, with its shards in a bucket of moto's S3 server.

The same tests as over a folder, in a process of their own, with fewer examples (`places`).
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from personavlm.memory_store.storage.objects import open_objects
from tests.unit.memory_store.bucket_server import BUCKET, BucketServer, bucket_server
from tests.unit.memory_store.places import VARIABLE

ROOT = Path(__file__).parents[2]
PROPERTIES = (
    "test_store_histories.py",
    "test_store_isolation.py",
    "test_store_search.py",
    "test_store_turns.py",
    "test_archive.py",
    "test_links.py",
    "test_cold_turns.py",
    "test_diversity.py",
    "test_last_erasures.py",
)


@pytest.fixture(scope="module")
def server() -> Iterator[BucketServer]:
    with bucket_server() as server:
        yield server


def passed(server: BucketServer, *arguments: str) -> int:
    """How many tests pass over the bucket; all that are chosen must."""
    place = json.dumps({"uri": server.new_uri(), "options": server.options})
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments],
        cwd=ROOT,
        env={**os.environ, VARIABLE: place},
        text=True,
        capture_output=True,
    )
    assert done.returncode == 0, done.stdout[-5000:]
    counted = re.search(r"(\d+) passed", done.stdout)
    assert counted, done.stdout
    return int(counted[1])


def test_the_properties_of_the_store_hold(server: BucketServer) -> None:
    files = [f"tests/unit/memory_store/{name}" for name in PROPERTIES]
    assert passed(server, "-m", "hypothesis", *files) >= len(PROPERTIES)


def test_what_was_acknowledged_outlives_the_kill_of_its_writer(server: BucketServer) -> None:
    assert passed(server, "tests/integration/test_store_kill.py", "-k", "kill and commit and not loss") == 1
    kept = open_objects(f"s3://{BUCKET}", server.options).list("")
    assert any("turns.lance/data/" in key for key, _ in kept)  # it was over the bucket
