"""From a configuration to what a RayService says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from personavlm.deployments.manifests import ManifestError, patch, render
from personavlm.platform.cli import main
from personavlm.platform.config import Config

GOOD: dict[str, Any] = {
    "service": {"host": "0.0.0.0", "keys_file": "/keys/keys.json"},
    "memory": {"uri": "s3://bucket/memory", "release": "ours"},
}


def written(folder: Path, content: dict[str, Any]) -> Path:
    file = folder / "config.yaml"
    file.write_text(yaml.safe_dump(content))
    return file


def test_the_manifest_carries_the_whole_configuration(tmp_path: Path) -> None:
    source = written(tmp_path, GOOD)
    served = yaml.safe_load(yaml.safe_load(patch(source))["spec"]["serveConfigV2"])
    [application] = served["applications"]
    assert Config.parse(application["args"], "manifest") == Config.load(source)
    assert served["http_options"] == {"host": "0.0.0.0", "port": 8000}


@pytest.mark.parametrize(
    ("section", "fields", "said"),
    [
        ("service", {"host": "127.0.0.1"}, "service.host"),
        ("service", {"metrics_port": 9000}, "service.metrics_port"),
        ("memory", {"storage_options": {"aws_secret_access_key": "x"}}, "credentials do not belong"),
        ("memory", {"release": None}, "memory.release"),
    ],
)
def test_what_cannot_work_in_pods_is_refused(
    tmp_path: Path, section: str, fields: dict[str, Any], said: str
) -> None:
    source = written(tmp_path, {**GOOD, section: {**GOOD[section], **fields}})
    with pytest.raises(ManifestError, match=said):
        patch(source)


def test_defaults_of_a_laptop_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ManifestError) as caught:
        patch(written(tmp_path, {}))
    for field in ("service.host", "service.keys_file", "memory.uri"):
        assert field in str(caught.value)


def test_the_command_writes_and_checks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, target = written(tmp_path, GOOD), tmp_path / "serve.yaml"
    arguments = ["k8s", "render", str(source), "--to", str(target)]
    assert main([*arguments, "--check"]) == 1
    assert "is not what" in capsys.readouterr().err
    assert main(arguments) == 0
    assert main([*arguments, "--check"]) == 0
    render(source, None, only_check=False)
    assert capsys.readouterr().out == target.read_text()
