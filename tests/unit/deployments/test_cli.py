"""The command line: quick help, and problems in one line instead of a traceback."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from personavlm.deployments.keys import Credential, KeyRing
from personavlm.deployments.local_ray import free_port

HEAVY = ("ray", "lancedb", "onnxruntime", "fastapi", "numpy", "pydantic")


def personavlm(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "personavlm.deployments", *arguments]
    return subprocess.run(command, text=True, capture_output=True, timeout=120, check=False)


def test_help_loads_nothing_heavy() -> None:
    code = f"""
import sys
from personavlm.platform.cli import main
try:
    main(["--help"])
except SystemExit:
    print("loaded:", [name for name in {HEAVY} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], text=True, capture_output=True, check=True)
    assert "replay" in done.stdout
    assert "loaded: []" in done.stdout


def test_a_created_key_works(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump({"service": {"keys_file": str(tmp_path / "keys.json")}}))
    done = personavlm("keys", "create", "--tenant", "acme", "--replay", "--config", str(config))
    assert done.returncode == 0
    assert KeyRing(tmp_path / "keys.json").verify(done.stdout.strip()) == Credential("acme", replay=True)


def test_a_wrong_configuration_ends_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("servce: {}")
    done = personavlm("serve", "--config", str(tmp_path / "config.yaml"))
    assert done.returncode == 1
    assert "servce" in done.stderr and "Traceback" not in done.stderr


def test_a_port_in_use_ends_with_its_reason(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        config = {"service": {"port": port}, "memory": {"uri": str(tmp_path)}}
        (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
        done = personavlm("serve", "--config", str(tmp_path / "config.yaml"))
    assert done.returncode == 1
    assert f"{port}: Address already in use" in done.stderr and "Traceback" not in done.stderr


def test_a_cluster_without_room_ends_with_a_table_of_what_is_asked_and_free(tmp_path: Path) -> None:
    config = {
        "service": {"port": free_port()},
        "memory": {"uri": str(tmp_path)},
        "policy": {"gpus": 1, "resources": {"fast_disk": 2}},
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    done = personavlm("serve", "--config", str(tmp_path / "config.yaml"))
    assert done.returncode == 1
    assert "no room for policy" in done.stderr and "Traceback" not in done.stderr
    rows = [line.split() for line in done.stderr.splitlines()]
    assert ["part", "count", "CPU", "GPU", "fast_disk"] in rows
    assert ["policy", "1", "0.25", "1", "2"] in rows


@pytest.mark.parametrize("arguments", [("serve", "--config"), ("replay",), ("keys",), ("dance",)])
def test_wrong_arguments_explain_themselves(arguments: tuple[str, ...]) -> None:
    done = personavlm(*arguments)
    assert done.returncode == 2 and "usage:" in done.stderr
