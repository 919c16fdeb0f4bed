"""A folder is one run's."""

from __future__ import annotations

from pathlib import Path

import pytest

from personavlm.jobs.run_folder import claim
from personavlm.platform.config_section import Section
from personavlm.platform.errors import CommandError


class Strategy(Section):
    workers: int = 1


class Learner(Section):
    rate: float = 0.1
    strategy: Strategy = Strategy()


class Run(Section):
    seed: int = 0
    learner: Learner = Learner()
    strategy: Strategy = Strategy()


def run(**settings: object) -> Run:
    return Run.model_validate(settings)


def test_the_same_run_goes_on_with_other_hands(tmp_path: Path) -> None:
    claim(tmp_path / "run", run())
    claim(tmp_path / "run", run(strategy={"workers": 8}, learner={"strategy": {"workers": 4}}))


@pytest.mark.parametrize(
    ("settings", "name"), [({"seed": 1}, "seed"), ({"learner": {"rate": 0.2}}, "learner.rate")]
)
def test_another_run_is_refused_by_the_names_of_what_differs(
    tmp_path: Path, settings: dict[str, object], name: str
) -> None:
    claim(tmp_path, run())
    before = (tmp_path / "config.yaml").read_text()
    with pytest.raises(CommandError, match=rf"other settings \({name}\)"):
        claim(tmp_path, run(**settings))
    assert (tmp_path / "config.yaml").read_text() == before


def test_a_folder_with_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("Dear")
    with pytest.raises(CommandError, match="is no run"):
        claim(tmp_path, run())
