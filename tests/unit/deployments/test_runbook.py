"""The runbook speaks only of metrics, commands, options and codes that there are."""

import re
from pathlib import Path

import pytest

from personavlm.platform.cli import parser
from personavlm.platform.config import Config

ROOT = Path(__file__).parents[3]
RUNBOOK = (ROOT / "k8s" / "RUNBOOK.md").read_text(encoding="utf-8")
SOURCE = "\n".join(file.read_text(encoding="utf-8") for file in (ROOT / "deployments").rglob("*.py"))
QUOTED = re.findall(r"`([^`\n]+)`", RUNBOOK)
SECTIONS = tuple(Config.model_fields)


def test_it_has_ten_failures_each_with_what_a_reader_looks_for() -> None:
    failures = re.split(r"^## \d+\. ", RUNBOOK, flags=re.MULTILINE)[1:]
    assert len(failures) == 10
    for failure in failures:
        assert re.findall(r"^\* \*\*(.+?)\.\*\*", failure, flags=re.MULTILINE) == [
            "Symptom",
            "Look at",
            "Cause",
            "Remedy",
        ]


@pytest.mark.parametrize("command", sorted(set(re.findall(r"-- personavlm (.+?)(?:  |\n)", RUNBOOK))))
def test_commands_are_real(command: str) -> None:
    parser().parse_args(command.split())


def test_fields_are_real() -> None:
    fields = {each for each in QUOTED if re.fullmatch(rf"({'|'.join(SECTIONS)})\.[a-z_]+", each)}
    assert len(fields) >= 8
    for field in fields:
        section, _, name = field.partition(".")
        assert f"{name}:" in (ROOT / "platform").joinpath("personavlm/platform", SOURCES[section]).read_text()


SOURCES = {
    "memory": "config.py",
    "service": "config.py",
    "policy": "serving_config.py",
    "engine": "engine_config.py",
}


def test_metrics_are_real() -> None:
    named = {each.partition("{")[0] for each in QUOTED if re.match(r"(store|update|requests)_[a-z_]+", each)}
    assert len(named) >= 6
    for name in named:
        inner = name.removeprefix("store_")
        assert f'"personavlm_{name}"' in SOURCE or f'"{inner}": (' in SOURCE, name


CODES = "engine_error engine_timeout memory_busy memory_unavailable reply_broke_off storage_unavailable"


@pytest.mark.parametrize("code", CODES.split())
def test_codes_are_real(code: str) -> None:
    assert f"`{code}`" in RUNBOOK and f'"{code}"' in SOURCE
