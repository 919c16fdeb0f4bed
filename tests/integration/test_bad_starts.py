"""What cannot work ends with a message that says why, and does not hang: the real command and storage."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import yaml

from personavlm.deployments.local_ray import free_port
from personavlm.deployments.open_stores import open_stores
from personavlm.platform.config import MemoryConfig
from tests.integration.conftest import environment
from tests.unit.memory_store.bucket_server import BucketServer, bucket_server, spoiled
from tests.unit.memory_store.encoders import ByteEncoder, WordEncoder

PATIENCE_S = 150


@pytest.fixture(scope="module")
def server() -> Iterator[BucketServer]:
    with bucket_server() as server:
        yield server


def refused(folder: Path, config: dict[str, object], **variables: str) -> str:
    """What `personavlm serve` says as it ends with status 1."""
    file = folder / "config.yaml"
    file.write_text(yaml.safe_dump({"service": {"port": free_port()}, **config}))
    command = [sys.executable, "-m", "personavlm.deployments", "serve", "--config", str(file)]
    with subprocess.Popen(
        command,
        text=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**environment(), **variables},
        start_new_session=True,
    ) as process:
        try:
            _, said = process.communicate(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    assert process.returncode == 1, said
    assert said.startswith("personavlm: ") and "Traceback" not in said
    return said


def memory_of(server: BucketServer, uri: str | None = None, **more: object) -> dict[str, object]:
    """The section of a store in the bucket; credentials come from the environment."""
    options = {name: value for name, value in server.options.items() if "key" not in name}
    return {"uri": uri or server.new_uri(), "storage_options": options, **more}


CREDENTIALS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}


def test_a_bucket_without_conditional_writes(tmp_path: Path, server: BucketServer) -> None:
    with spoiled(server, drop=frozenset({"if-match", "if-none-match"})) as proxy:
        said = refused(tmp_path, {"memory": memory_of(proxy)}, **CREDENTIALS)
    assert "does not keep conditional writes: a second create of one object succeeds" in said
    assert "Use an object store that honours If-None-Match" in said


def test_a_bucket_that_is_not_there(tmp_path: Path, server: BucketServer) -> None:
    said = refused(tmp_path, {"memory": memory_of(server, "s3://nowhere/store")}, **CREDENTIALS)
    assert "memory.uri s3://nowhere/store" in said and "NoSuchBucket" in said


def test_a_secret_that_is_not_there(tmp_path: Path) -> None:
    said = refused(tmp_path, {"memory": {"uri": str(tmp_path), "master_key_env": "NO_SUCH_KEY"}})
    assert "memory.master_key_env names NO_SUCH_KEY, which the environment does not have" in said


def test_a_key_of_a_model_that_is_not_there(tmp_path: Path) -> None:
    engine = {
        "kind": "openai",
        "base_url": "http://127.0.0.1:1/v1",
        "model": "m",
        "api_key_env": "NO_SUCH_KEY",
    }
    assert "engine.api_key_env names NO_SUCH_KEY" in refused(tmp_path, {"engine": engine})


def test_a_cluster_that_is_not_there(tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    assert f"ray_address {address}: " in refused(tmp_path, {"ray_address": address})


def test_gpus_that_never_come(tmp_path: Path) -> None:
    policy = {"gpus": 8, "wait_for_nodes": True, "wait_for_nodes_s": 1}
    said = refused(tmp_path, {"memory": {"uri": str(tmp_path)}, "policy": policy})
    assert "no node with room for policy came within 1 s" in said and "policy.wait_for_nodes_s" in said


def test_two_releases_on_one_bucket(
    tmp_path: Path, server: BucketServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    memory = memory_of(server, release="blue", shards=1, actors=1)
    with closing(open_stores(MemoryConfig.model_validate(memory), WordEncoder(), ByteEncoder())):
        said = refused(tmp_path, {"memory": {**memory, "release": "green"}})
    assert "is in use by release 'blue'" in said and "give each a memory.uri of its own" in said
