"""Runs of GRPO on a Ray of their own: to the end, continued, and with what dies on the way."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs the extra `train`")

import ray
from rich.console import Console

from personavlm.jobs.grpo.command import run
from personavlm.jobs.grpo.feed_actor import GrpoFeed
from personavlm.jobs.grpo.figures import read_metrics
from personavlm.jobs.gym.preparation import GymFolder
from personavlm.jobs.learning.feed import version_of
from personavlm.jobs.rollouts.records import read_records
from personavlm.jobs.rollouts.show_command import show
from personavlm.platform.errors import CommandError
from tests.unit.jobs.grpo.gym_runs import gym_folder, gym_run

pytestmark = pytest.mark.train
WAIT_S = 120


@pytest.fixture(scope="module")
def gym(tmp_path_factory: pytest.TempPathFactory) -> GymFolder:
    return gym_folder(tmp_path_factory.mktemp("gym"))


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    ray.init(address="local", num_cpus=4, include_dashboard=False, object_store_memory=100 * 2**20)
    yield
    ray.shutdown()


def weights_of(gym: GymFolder) -> object:
    from safetensors.torch import load_file

    return ray.put(load_file(gym.checkpoint / "model.safetensors"))


def test_a_run_ends_with_a_checkpoint_figures_curves_and_rollouts_to_read(
    gym: GymFolder, tmp_path: Path
) -> None:
    output = tmp_path / "run"
    checkpoint = run(gym_run(gym, output), Console(quiet=True))
    assert checkpoint.name == "step-00000002"
    metrics = read_metrics(output / "metrics.jsonl")
    assert [one["step"] for one in metrics] == [1, 2]
    assert all(one["rollouts"] == 6 and one["failed"] == 0 for one in metrics)
    assert all(one["mismatch_logprob"] < 1e-4 for one in metrics), "sampler and learner agree"
    records = list(read_records(output / "rollouts" / "step-00000001.jsonl"))
    assert {record.versions for record in records} == {(version_of(1),)}
    console = Console(width=80, record=True, quiet=True)
    show(output / "rollouts" / "step-00000001.jsonl", 2, None, None, console)
    assert (output / "curves.png").stat().st_size > 1000 and any((output / "tensorboard").iterdir())
    with pytest.raises(CommandError, match=r"other settings \(seed\)"):
        run(gym_run(gym, output, seed=1), Console(quiet=True))


def test_a_killed_rollout_worker_is_replaced_and_its_groups_are_rolled_out_again(
    gym: GymFolder, tmp_path: Path
) -> None:
    config = gym_run(gym, tmp_path / "run")
    config.images.mkdir(parents=True)
    feed = ray.remote(GrpoFeed).options(num_cpus=0, max_concurrency=8).remote(config)
    (pid,) = ray.get(feed.start.remote(), timeout=WAIT_S)
    ray.get(feed.trained.remote(0, version_of(0), {}, [weights_of(gym)]), timeout=WAIT_S)
    os.kill(pid, signal.SIGKILL)
    batch = ray.get(feed.batch.remote(0), timeout=WAIT_S)
    assert len(batch) == 6
    assert {version for row in batch for version in row.trajectory.versions if version} == {version_of(0)}
    ray.kill(feed)


def test_nothing_is_rolled_out_before_the_first_weights(gym: GymFolder, tmp_path: Path) -> None:
    config = gym_run(gym, tmp_path / "run", rollouts={"max_restarts": 0})
    config.images.mkdir(parents=True)
    feed = ray.remote(GrpoFeed).options(num_cpus=0, max_concurrency=8).remote(config)
    ray.get(feed.start.remote(), timeout=WAIT_S)
    with pytest.raises(ray.exceptions.GetTimeoutError):
        ray.get(feed.batch.remote(0), timeout=2)
    ray.get(feed.trained.remote(0, version_of(0), {}, [weights_of(gym)]), timeout=WAIT_S)
    assert len(ray.get(feed.batch.remote(0), timeout=WAIT_S)) == 6
    ray.kill(feed)


def test_a_run_that_does_not_fit_says_so_before_anything_starts(gym: GymFolder, tmp_path: Path) -> None:
    config = gym_run(gym, tmp_path / "run", rollouts={"cpus_per_worker": 64})
    with pytest.raises(CommandError, match="needs 64 CPU on one node"):
        run(config, Console(quiet=True))
