"""A prepared folder: whole, refused where something is in it, and a few steps on its lessons teach."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

pytest.importorskip("torch", reason="needs the extra `train`")

from personavlm.jobs.evaluate.config import EvaluateConfig
from personavlm.jobs.grpo.config import GrpoConfig
from personavlm.jobs.gym.command import prepare, shown
from personavlm.jobs.gym.config import GymConfig
from personavlm.jobs.gym.preparation import GymFolder
from personavlm.jobs.gym.task import GymTask
from personavlm.jobs.sft.config import SftConfig
from personavlm.jobs.sft.example_files import ExampleFiles
from personavlm.platform.errors import CommandError
from tests.benchmarks.gym_parts.in_process import supervise
from tests.benchmarks.gym_parts.recipe import Recipe

pytestmark = pytest.mark.train


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> GymFolder:
    output = tmp_path_factory.mktemp("gym") / "run"
    return prepare(GymConfig(output=output, demonstrations=256, rewarded=16, asked=24))


def test_the_jobs_that_follow_take_its_settings(folder: GymFolder) -> None:
    sft = SftConfig.model_validate(yaml.safe_load((folder.path / "sft.yaml").read_text()))
    evaluate = EvaluateConfig.model_validate(yaml.safe_load((folder.path / "evaluate.yaml").read_text()))
    grpo = GrpoConfig.model_validate(yaml.safe_load((folder.path / "grpo.yaml").read_text()))
    assert len(ExampleFiles.open(sft.data)) == 256
    assert Path(grpo.learner.policy.model).parent == sft.output / "checkpoints"
    assert len(GymTask(evaluate.questions)) == 24
    assert len(GymTask(folder.questions("grpo"))) == 16
    assert str(folder.path / "sft.yaml") in shown(folder)


def test_a_folder_with_something_in_it_is_refused(folder: GymFolder) -> None:
    with pytest.raises(CommandError, match="is not empty"):
        prepare(GymConfig(output=folder.path))


@pytest.mark.filterwarnings("ignore:torch.distributed is disabled")
def test_a_few_steps_on_its_lessons_lower_the_loss(folder: GymFolder, tmp_path: Path) -> None:
    losses: list[float] = []
    lessons = ExampleFiles.open(folder.lessons)
    examples = [lessons[at] for at in range(len(lessons))]
    supervise(
        Recipe(sft_steps=30),
        folder.checkpoint,
        examples,
        tmp_path,
        0,
        lambda stage, step, loss: losses.append(loss),
    )
    assert len(losses) == 30
    assert sum(losses[-3:]) < 0.5 * sum(losses[:3])
