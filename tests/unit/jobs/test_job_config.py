"""Settings of a job come from its file and from the command line; what is wrong is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from personavlm.jobs.job_config import load_job
from personavlm.platform.config import ConfigError
from personavlm.platform.config_section import Section


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
