"""The configuration: defaults for everything, unknown keys refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from personavlm.platform.config import Config, ConfigError
from personavlm.platform.engine_config import OpenAiEngineConfig


def load(tmp_path: Path, text: str) -> Config:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    return Config.load(path)


@pytest.mark.parametrize("text", ["", "{}", "service: {port: 8000}"])
def test_everything_has_a_default(tmp_path: Path, text: str) -> None:
    assert load(tmp_path, text) == Config()


def test_an_engine_is_chosen_by_its_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "engine: {kind: openai, base_url: 'http://h/v1', model: m, api_key_env: MY_KEY}"
    engine = load(tmp_path, text).engine
    assert isinstance(engine, OpenAiEngineConfig)
    assert engine.api_key().get_secret_value() == ""
    monkeypatch.setenv("MY_KEY", "secret")
    assert engine.api_key().get_secret_value() == "secret"
    assert "secret" not in repr(engine)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("servce: {}", "servce"),
        ("service: {prot: 1}", "service.prot"),
        ("service: {port: 70000}", "service.port"),
        ("memory: {shards: 0}", "memory.shards"),
        ("engine: {kind: magic}", "engine"),
        ("engine: {kind: openai}", "engine.openai.base_url"),
        ("service: {request_timeout_s: 900}", "request_timeout_s is above max_request_timeout_s"),
        ("policy: {replicas: 2, autoscaling: {max_replicas: 3}}", "replicas or autoscaling, not both"),
        ("policy: {autoscaling: {min_replicas: 2, max_replicas: 1}}", "max_replicas is below min_replicas"),
        ("policy: {gpus: 1.5}", "gpus must be a whole number"),
        ("policy: {resources: {tpu: 0}}", "policy.resources.tpu"),
        ("limits: {tenants: {acme: {concurency: 1}}}", "limits.tenants.acme.concurency"),
        ("- a list", "dictionary"),
        ("a: [", "YAML"),
        ("service: {otlp_endpoint: 'localhost:4318'}", "service.otlp_endpoint"),
        ("{ray_address: auto, service: {metrics_port: 9000}}", "--metrics-export-port"),
    ],
)
def test_problems_are_named(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=r"config\.yaml") as caught:
        load(tmp_path, text)
    assert says in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml"):
        Config.load(tmp_path / "none.yaml")


def test_prompts_are_named_by_their_folder(tmp_path: Path) -> None:
    assert load(tmp_path, f"prompts: {tmp_path}").prompts == tmp_path
    for wrong in ("5", "{reply: hello}", "[a]"):
        with pytest.raises(ConfigError, match=r"config.yaml: prompts: .* path of a folder of templates$"):
            load(tmp_path, f"prompts: {wrong}")
