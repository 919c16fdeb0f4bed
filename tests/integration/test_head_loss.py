"""The head is lost under load. With its state in a Redis the service goes on, and a new head takes over."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import httpx
import pytest

from personavlm.deployments.keys import create_key
from tests.integration.kuberay import Cluster, Node, cluster, end
from tests.integration.observed import until
from tests.integration.redis_server import redis_server
from tests.integration.writer import Writer, clients, say, timeline

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(not shutil.which("redis-server"), reason="needs redis-server: make redis"),
]


def test_replies_go_on_while_the_head_is_gone(tmp_path: Path) -> None:
    with redis_server() as redis, cluster("dev", tmp_path, redis) as running:
        key = create_key(running.home / "etc/personavlm-keys/keys.json", "acme")
        status = running.deploy()
        assert status["status"] == "RUNNING", status["message"]
        until(lambda: httpx.get(f"{running.url}/readyz", timeout=30).status_code == 200, "the service")
        with clients(running, key) as there, Writer(there).at_work() as writer:
            until(lambda: writer.count() > 5, "the first replies")
            head = node_of(running, None)
            end(head.process)
            count, refused = writer.count(), len(writer.refused)
            until(lambda: writer.count() > count + 50, "replies without a head")
            assert writer.refused[refused:] == []
            running.start(head.pod)
            replaced = running.deploy(shorter)
            assert replaced["status"] == "RUNNING", replaced["message"]
            # Ray 2.60: HAProxy has no replicas until the new head's Serve has found them, some seconds.
            assert set(writer.refused) <= {404, 500, 503}, set(writer.refused)
            refused, count = len(writer.refused), writer.count()
            until(lambda: writer.count() > count + 50, "replies with a new head")
            assert len(writer.refused) == refused
            lost = node_of(running, "memory")
            running.start(lost.pod)
            assert len(writer.broken) <= 3  # its node took connections too: Kubernetes keeps them away
            end(lost.process)
            until(lambda: say(there, "ana", "Hello").status_code == 200, "memory on another node")
        with clients(running, key) as there:
            for user, stored in writer.stored.items():
                assert [text for text in timeline(there, user) if text not in writer.broken] == stored


def shorter(args: dict[str, Any]) -> None:
    args["agent"] = {"max_tokens": 512}


def node_of(running: Cluster, group: str | None) -> Node:
    [found] = [node for node in running.nodes if node.pod.group.get("groupName") == group]
    return found
