"""Production's nodes in small, on object storage: each kind is lost under load, and service returns."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.conftest import environment
from tests.unit.memory_store.bucket_server import bucket_server

pytestmark = pytest.mark.cluster
RETRYABLE = {"500", "502", "503", "504", "ReadError", "ConnectError", "RemoteProtocolError", "ReadTimeout"}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """What a cluster of its own, in a process of its own, told about each loss."""
    folder = tmp_path_factory.mktemp("nodes")
    told = folder / "report.json"
    with bucket_server() as server:
        memory = json.dumps({"uri": server.new_uri(), "storage_options": server.options})
        command = [sys.executable, "-m", "tests.integration.node_scenarios", str(folder), memory, str(told)]
        with subprocess.Popen(
            command,
            text=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env={**environment(), "RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"},
            start_new_session=True,  # when it ends, Ray kills all processes of its group
        ) as process:
            _, complained = process.communicate(timeout=280)
        assert process.returncode == 0, complained[-5000:]
        yield json.loads(told.read_text(encoding="utf-8"))


@pytest.mark.cluster
def test_nothing_acknowledged_is_lost_or_doubled(report: dict[str, Any]) -> None:
    assert report["wrong"] == []
    assert report["acknowledged"] >= 4 * 2 * 4


@pytest.mark.cluster
@pytest.mark.parametrize("kind", ["ingress", "memory", "policy"])
def test_service_returns_and_meanwhile_says_that_it_will(report: dict[str, Any], kind: str) -> None:
    assert set(report[kind]["statuses"]) <= RETRYABLE, report[kind]
