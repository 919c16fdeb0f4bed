"""A running service: the real command in a process of its own, shared by all integration tests."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import openai
import pytest
import yaml

from personavlm.deployments.keys import create_key
from personavlm.deployments.local_ray import free_port

_numbers = itertools.count()


@dataclass(frozen=True)
class Service:
    """Where it answers and three keys: two of one tenant (one may replay), one of another tenant."""

    url: str
    key: str
    plain_key: str
    foreign_key: str
    folder: Path
    pid: int

    def http(self, key: str | None = None) -> httpx.Client:
        """A client with a key that may replay, unless another is given."""
        headers = {"Authorization": f"Bearer {key or self.key}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=60)

    def openai(self, key: str | None = None) -> openai.OpenAI:
        """The official client."""
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key=key or self.key, max_retries=0)


def start(folder: Path, **sections: object) -> tuple[subprocess.Popen[str], str]:
    """Run `personavlm serve` with everything it keeps in ``folder``; returns once it is ready."""
    port = free_port()
    config = {
        "service": {"port": port, "keys_file": str(folder / "keys.json")},
        "memory": {"uri": str(folder / "memory")},
        **sections,
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    command = [
        sys.executable,
        "-m",
        "personavlm.deployments",
        "serve",
        "--config",
        str(folder / "config.yaml"),
    ]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=environment(), start_new_session=True
    )
    assert process.stdout is not None
    for line in process.stdout:
        if "ready" in line:
            return process, f"http://127.0.0.1:{port}"
    process.stdout.close()
    raise RuntimeError(f"the service ended with status {process.wait()} before it was ready")


def stop(process: subprocess.Popen[str]) -> None:
    """End it as Ctrl-C does, and everything that it started."""
    process.send_signal(signal.SIGINT)
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert process.stdout is not None
    process.stdout.close()


def environment() -> dict[str, str]:
    """Ours, with this tree's code first."""
    roots = ("platform", "deployments", "jobs", "memory_store")
    root = Path(__file__).parents[2]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(str(root / name) for name in roots)}


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("service")
    keys = folder / "keys.json"
    key = create_key(keys, "acme", replay=True)
    plain, foreign = create_key(keys, "acme"), create_key(keys, "other", replay=True)
    process, url = start(folder)
    yield Service(url, key, plain, foreign, folder, process.pid)
    stop(process)


@pytest.fixture
def user() -> str:
    """A user that no other test has."""
    return f"user-{next(_numbers)}"


@pytest.fixture
def own_service(tmp_path: Path) -> Iterator[Service]:
    """One with a single shard, for tests that kill it or change its store."""
    key = create_key(tmp_path / "keys.json", "acme", replay=True)
    process, url = start(tmp_path, memory={"uri": str(tmp_path / "memory"), "shards": 1})
    yield Service(url, key, key, key, tmp_path, process.pid)
    stop(process)
