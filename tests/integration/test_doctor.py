"""`personavlm doctor`, the real command: what is wrong is named with its remedy, what is well is well."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lancedb
import pyarrow as pa
import pytest
import yaml

from personavlm.deployments.local_ray import free_port
from personavlm.memory_store.storage.layout import LayoutFile
from personavlm.memory_store.storage.local_objects import LocalObjects
from tests.integration.conftest import Service, environment
from tests.unit.memory_store.bucket_server import BucketServer, bucket_server, spoiled

Findings = dict[str, dict[str, str]]


def doctor(file: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "personavlm.deployments", "doctor", "--config", str(file), *options]
    return subprocess.run(command, text=True, capture_output=True, env=environment(), timeout=150)


def examined(folder: Path, status: int, **sections: object) -> Findings:
    """Findings by what was looked at."""
    file = folder / "config.yaml"
    if sections:
        file.write_text(yaml.safe_dump(sections))
    done = doctor(file, "--json")
    assert done.returncode == status, done.stdout + done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    assert told["ok"] is (status == 0)
    found = {each["check"]: each for each in told["findings"]}
    assert all(each["remedy"] for each in found.values() if each["status"] != "ok")
    return found


@pytest.fixture(scope="module")
def server() -> Iterator[BucketServer]:
    with bucket_server() as server:
        yield server


def test_a_running_service_is_well(service: Service) -> None:
    found = examined(service.folder, 0)
    assert {each["status"] for each in found.values()} == {"ok"}, found
    checks = ("versions", "keys", "Ray cluster", "service", "memory actors", "updates", "storage", "schema")
    assert found.keys() >= set(checks)
    shown = doctor(service.folder / "config.yaml")
    assert shown.returncode == 0 and "all deployments" in shown.stdout


def test_a_machine_without_anything_gets_told_what_is_missing(tmp_path: Path) -> None:
    found = examined(
        tmp_path,
        1,
        service={"keys_file": str(tmp_path / "keys.json")},
        memory={"uri": str(tmp_path / "memory"), "master_key_env": "NO_SUCH_KEY"},
        engine={"kind": "vllm", "model": str(tmp_path / "no-model")},
        policy={"gpus": 64},
        ray_address=f"127.0.0.1:{free_port()}",
    )
    wrong = {check for check, each in found.items() if each["status"] == "wrong"}
    assert wrong >= {"secrets", "keys", "checkpoint", "Ray cluster"}
    assert "NO_SUCH_KEY" in found["secrets"]["found"]
    assert "keys create" in found["keys"]["remedy"]
    assert "ray_address" in found["Ray cluster"]["remedy"]
    assert not (tmp_path / "memory").exists()  # it only looked


def test_gpus_that_are_not_there(tmp_path: Path) -> None:
    found = examined(tmp_path, 1, memory={"uri": str(tmp_path)}, policy={"gpus": 64})
    assert found["GPUs"]["status"] == "wrong" and "nvidia-smi" in found["GPUs"]["remedy"]


def test_a_bucket_that_keeps_its_word_and_one_that_does_not(tmp_path: Path, server: BucketServer) -> None:
    memory = {"uri": server.new_uri(), "storage_options": server.options}
    found = examined(tmp_path, 1, memory=memory)  # for its keys
    assert found["storage"]["status"] == found["owner"]["status"] == "ok"
    assert found["schema"]["found"].startswith("no store yet")
    with spoiled(server, drop=frozenset({"if-match", "if-none-match"})) as proxy:
        found = examined(tmp_path, 1, memory={**memory, "storage_options": proxy.options})
    assert "does not keep conditional writes" in found["storage"]["found"]


def test_tables_of_another_version(tmp_path: Path) -> None:
    LayoutFile(LocalObjects(tmp_path / "memory")).load(1)
    connection = lancedb.connect(tmp_path / "memory" / "shard-0000")
    connection.create_table("turns", schema=pa.schema({"id": pa.string()}))
    found = examined(tmp_path, 1, memory={"uri": str(tmp_path / "memory")})
    assert "shard 0: the table turns has other columns" in found["schema"]["found"]
    assert "export-tenant" in found["schema"]["remedy"]
