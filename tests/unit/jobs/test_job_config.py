"""Settings of a job come from its file and from the command line; what is wrong is named."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from personavlm.jobs.job_config import load_job, run_job
from personavlm.platform.config import ConfigError
from personavlm.platform.config_section import Section
from personavlm.platform.errors import CommandError


class Inner(Section):
    rate: float = 0.5


class Settings(Section):
    steps: int = 10
    inner: Inner = Inner()


def test_the_command_line_goes_over_the_file(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_text("steps: 20\ninner: {rate: 0.25}\n")
    assert load_job(Settings, path) == Settings(steps=20, inner=Inner(rate=0.25))
    assert load_job(Settings, path, ["inner.rate=1e-1", "steps=3"]) == Settings(
        steps=3, inner=Inner(rate=0.1)
    )
    assert load_job(Settings, None, ["inner.rate=1"]) == Settings(inner=Inner(rate=1))


@pytest.mark.parametrize(
    ("text", "override", "words"),
    [
        ("- a list", "steps=1", "holds no settings"),
        ("steps: [", "steps=1", "cannot be read as YAML"),
        ("", "steps", "write key=value"),
        ("", "steps={", "no YAML value"),
        ("steps: 3", "steps.more=1", "steps is a value, not a section"),
        ("", "stepz=1", "stepz: Extra inputs"),
        ("", "inner.rate=much", "inner.rate: Input should be a valid number"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, override: str, words: str) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=words):
        load_job(Settings, path, [override])


Command = Callable[..., int]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Command:
    """The command of a job with these words after its name; its exit status."""

    def run(words: list[str], job: Callable[[Settings], object]) -> int:
        monkeypatch.setattr(sys, "argv", ["job", *words])
        return run_job("job", Settings, job, "A job.")

    return run


def test_a_command_takes_a_file_and_settings_or_settings_alone(tmp_path: Path, command: Command) -> None:
    path = tmp_path / "job.yaml"
    path.write_text("steps: 20")
    seen: list[Settings] = []
    assert command([str(path), "inner.rate=1"], seen.append) == 0
    assert command(["inner.rate=1"], seen.append) == 0
    assert command([], seen.append) == 0
    assert seen == [Settings(steps=20, inner=Inner(rate=1)), Settings(inner=Inner(rate=1)), Settings()]


def test_a_command_says_what_is_wrong_and_ends_with_1(
    command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(settings: Settings) -> None:
        raise CommandError("the disk is full")

    assert command(["steps=many"], print) == 1
    assert command([], full) == 1
    said = capsys.readouterr()
    assert said.out == "" and "job: settings: steps: " in said.err
    assert said.err.endswith("job: the disk is full\n")


@pytest.mark.parametrize("module", ["torch", "transformers.models"])
def test_a_command_names_the_extra_that_is_missing(
    command: Command, capsys: pytest.CaptureFixture[str], module: str
) -> None:
    def untrained(settings: Settings) -> None:
        raise ModuleNotFoundError(f"No module named {module!r}", name=module)

    assert command([], untrained) == 1
    assert f"({module} is missing): pip install 'personavlm[train]'" in capsys.readouterr().err


def test_a_module_that_no_extra_brings_is_a_fault_of_ours(command: Command) -> None:
    def faulty(settings: Settings) -> None:
        raise ModuleNotFoundError("No module named 'nonsense'", name="nonsense")

    with pytest.raises(ModuleNotFoundError, match="nonsense"):
        command([], faulty)
