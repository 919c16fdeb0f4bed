"""Training pods and entrypoints of the manifests, run to their end as KubeRay starts them; a tiny model."""

from __future__ import annotations

from pathlib import Path

import pytest

pytestmark = [pytest.mark.train, pytest.mark.timeout(1200)]
pytest.importorskip("torch", reason="needs the extra `train`")

from personavlm.jobs.learning.saved import SavedCheckpoints  # noqa: E402
from personavlm.jobs.sft.config import SftConfig  # noqa: E402
from personavlm.platform.config_section import Section  # noqa: E402
from tests.integration.kuberay import Cluster, cluster  # noqa: E402
from tests.tiny_checkpoint import write_checkpoint  # noqa: E402
from tests.unit.jobs.grpo.gym_runs import gym_folder, gym_run  # noqa: E402
from tests.unit.jobs.learning.tiny_runs import lessons  # noqa: E402
from tests.unit.jobs.learning.worlds import settings  # noqa: E402


def test_a_job_of_supervised_fine_tuning(tmp_path: Path) -> None:
    model = settings(write_checkpoint(tmp_path / "tiny")).model_dump(
        exclude={"loss", "reference", "feed_timeout_s"}
    )
    output = tmp_path / "run"
    job = SftConfig.model_validate(
        {
            **model,
            "data": lessons(tmp_path),
            "output": output,
            "batch_size": 4,
            "epochs": 1.0,
            "ray_address": "auto",
        }
    )
    with cluster("train/sft", tmp_path / "pods") as running:
        assert "checkpoint: " in trained(running, job)
    assert newest(output) == 6


def test_a_job_of_reinforcement_learning(tmp_path: Path) -> None:
    output = tmp_path / "run"
    job = gym_run(gym_folder(tmp_path / "gym"), output)
    with cluster("train/grpo", tmp_path / "pods") as running:
        trained(running, job)
    assert newest(output) == 2


def trained(running: Cluster, job: Section) -> str:
    """What the entrypoint prints with these settings in place of the overlay's, which ask for GPUs."""
    (running.home / "etc/personavlm/job.yaml").write_text(job.model_dump_json(), encoding="utf-8")
    return running.submit()


def newest(output: Path) -> int:
    """The step of the newest checkpoint."""
    found = SavedCheckpoints(output / "checkpoints", 2).newest()
    assert found is not None
    return found.step
