"""A second cluster of a release follows the first one, on one bucket, as KubeRay upgrades pods."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import httpx
import pytest

from personavlm.deployments.keys import create_key
from tests.integration.kuberay import Cluster, cluster
from tests.integration.observed import until
from tests.integration.writer import Writer, clients, say, timeline
from tests.unit.memory_store.bucket_server import BucketServer, bucket_server

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1200)]
KEYS = "etc/personavlm-keys/keys.json"


def test_a_second_cluster_takes_over_and_nothing_acknowledged_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    with bucket_server() as server, cluster("dev", tmp_path / "old") as old:
        memory = section(server)
        key = create_key(old.home / KEYS, "acme")
        serve(old, memory)
        with (
            clients(old, key) as before, Writer(before).at_work() as writer,
            cluster("dev", tmp_path / "new") as new, clients(new, key) as after,
        ):  # fmt: skip
            shutil.copy(old.home / KEYS, new.home / KEYS)
            serve(new, memory)
            count = writer.count()
            until(lambda: writer.count() > count, "the old cluster, beside a new one that is ready")
            assert not writer.refused and not writer.broken
            first = say(after, "ana", "I have a parrot named Kiwi.")
            assert first.status_code == 200, first.text
            # Ray holds calls back while it restarts the actor that lost its shard, as often as it dies:
            # a request is refused at its deadline, 40 s.
            until(lambda: writer.refused, "the old cluster to be refused", 180)
            assert set(writer.refused) <= {503, 504}  # 504: it waited for its memory until the deadline
            for user, stored in writer.stored.items():
                assert timeline(after, user) == stored
            assert timeline(after, "ana") == ["I have a parrot named Kiwi."]


def section(server: BucketServer) -> dict[str, object]:
    options = {name: value for name, value in server.options.items() if "key" not in name}
    return {
        "uri": server.new_uri(), "storage_options": options, "durability": "commit", "release": "personavlm",
        "shards": 1, "actors": 1, "resources": {"memory_slot": 1},
    }  # fmt: skip


def serve(running: Cluster, memory: dict[str, object]) -> None:
    """Until KubeRay would send clients there."""

    def in_bucket(args: dict[str, Any]) -> None:
        args["memory"] = memory

    status = running.deploy(in_bucket)
    assert status["status"] == "RUNNING", status["message"]
    until(lambda: httpx.get(f"{running.url}/-/healthz", timeout=30).status_code == 200, "the service")
