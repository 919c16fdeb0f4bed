"""Learners inside of Ray Train: they survive being killed, and say what is wrong before work starts."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.train
pytest.importorskip("torch", reason="needs the extra `train`")

import psutil  # noqa: E402
import ray  # noqa: E402
from safetensors.torch import load_file  # noqa: E402

from personavlm.jobs.learning.feed import GrpoRun  # noqa: E402
from personavlm.jobs.learning.grpo_loop import train_loop  # noqa: E402
from personavlm.jobs.learning.grpo_step import GrpoStep  # noqa: E402
from personavlm.jobs.learning.saved import SavedCheckpoints  # noqa: E402
from personavlm.jobs.learning.workers import fit  # noqa: E402
from personavlm.jobs.metrics_log import read_metrics  # noqa: E402
from personavlm.jobs.sft.command import run  # noqa: E402
from personavlm.jobs.sft.config import SftConfig  # noqa: E402
from personavlm.jobs.trajectories import Weighted  # noqa: E402
from personavlm.platform.engines.checkpoint import Checkpoint  # noqa: E402
from personavlm.platform.errors import CommandError  # noqa: E402
from tests.tiny_checkpoint import write_checkpoint  # noqa: E402
from tests.unit.jobs.learning.tiny_runs import lessons, weighted  # noqa: E402
from tests.unit.jobs.learning.worlds import apart, learner, settings  # noqa: E402


class FixedFeed:
    """Gives batches made before. Asked for step ``kill_at``, it kills the learner, once."""

    def __init__(self, batches: list[list[Weighted]], kill_at: int) -> None:
        self._batches, self._kill_at = batches, kill_at
        self._seen: list[tuple[str, int]] = []
        self._weights: dict[str, Any] = {}

    def batch(self, step: int) -> list[Weighted] | None:
        self._seen.append(("asked", step))
        if step == self._kill_at:
            self._kill_at = -1
            for one in psutil.Process().parent().children():  # the processes of this cluster
                if "RayTrainWorker" in " ".join(one.cmdline()):
                    os.kill(one.pid, signal.SIGKILL)
        return self._batches[step] if step < len(self._batches) else None

    def trained(self, step: int, version: str, metrics: Mapping[str, float], weights: Sequence[Any]) -> None:
        assert version == f"step-{step}"
        self._seen.append(("learned" if metrics else "started", step))
        self._weights = ray.get(weights[0])

    def seen(self) -> tuple[list[tuple[str, int]], dict[str, Any]]:
        return self._seen, self._weights


class SilentFeed:
    """Its batch takes longer than any learner waits."""

    def batch(self, step: int) -> list[Weighted] | None:
        time.sleep(60)  # being late is what it is for
        return None

    def trained(self, *_: object) -> None:
        """Nobody looks at it."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    ray.init(
        "local", num_cpus=4, include_dashboard=False, log_to_driver=False, object_store_memory=200 * 2**20
    )
    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return Checkpoint.open(str(write_checkpoint(tmp_path_factory.mktemp("tiny"))))


@pytest.mark.timeout(900)
def test_a_killed_learner_continues_and_nothing_is_different(
    cluster: None, tiny: Checkpoint, tmp_path: Path
) -> None:
    images = tmp_path / "images"
    batches = [weighted(tiny, images, 4, seed) for seed in range(4)]
    config = settings(tiny.path, checkpoints={"every": 2}, strategy={"max_restarts": 1})
    whole = learner(config, images, steps=4)
    for batch in batches:
        GrpoStep(whole, config)(batch)
    feed = ray.remote(num_cpus=0)(FixedFeed).remote(batches, kill_at=3)
    fit(train_loop, GrpoRun(config, feed, tmp_path, images, 4), config, tmp_path, "grpo")
    seen, weights = ray.get(feed.seen.remote())
    first = [
        ("started", 0),
        ("asked", 0),
        ("learned", 1),
        ("asked", 1),
        ("learned", 2),
        ("asked", 2),
        ("learned", 3),
    ]
    again = [("started", 2), ("asked", 2), ("learned", 3), ("asked", 3), ("learned", 4), ("asked", 4)]
    assert seen == [*first, ("asked", 3), *again]
    assert apart(weights, whole.weights()) == 0
    newest = SavedCheckpoints(tmp_path / "checkpoints", 2).newest()
    assert newest is not None and newest.step == 4


def test_a_feed_that_never_answers_stops_the_run_with_a_reason(
    cluster: None, tiny: Checkpoint, tmp_path: Path
) -> None:
    config = settings(tiny.path, feed_timeout_s=1.0, strategy={"max_restarts": 0})
    feed = ray.remote(num_cpus=0)(SilentFeed).remote()
    with pytest.raises(CommandError, match="no batch came for step 0 within 1 s"):
        fit(train_loop, GrpoRun(config, feed, tmp_path, tmp_path, 4), config, tmp_path, "grpo")


def test_learners_that_do_not_fit_are_refused_at_once(
    cluster: None, tiny: Checkpoint, tmp_path: Path
) -> None:
    config = settings(tiny.path, strategy={"workers": 64})
    with pytest.raises(CommandError, match=r"64 learners do not fit.*CPU: 64 asked, 4 there"):
        fit(train_loop, None, config, tmp_path, "grpo")


def sft(tiny: Checkpoint, data: Path, output: Path, **changes: object) -> dict[str, Any]:
    base = settings(tiny.path, checkpoints={"every": 2}).model_dump(
        exclude={"loss", "reference", "feed_timeout_s"}
    )
    return {**base, "data": str(data), "output": str(output), "batch_size": 4, "epochs": 2.0, **changes}


@pytest.mark.timeout(900)
def test_sft_killed_and_started_again_ends_where_a_whole_run_does(
    cluster: None, tiny: Checkpoint, tmp_path: Path
) -> None:
    data = lessons(tmp_path)
    whole = run(SftConfig.model_validate(sft(tiny, data, tmp_path / "whole")))
    config = SftConfig.model_validate(sft(tiny, data, tmp_path / "cut"))
    file = tmp_path / "cut.yaml"
    file.write_text(config.model_dump_json(), encoding="utf-8")
    process = subprocess.Popen([sys.executable, "-m", "personavlm.jobs.sft", str(file)])
    try:
        while not (lines := read_metrics(tmp_path / "cut")) or lines[-1]["step"] < 3:
            assert process.poll() is None, "the run ended before it was killed"
            time.sleep(0.02)  # between two looks at another process's file
    finally:
        process.kill()  # SIGKILL: Ray's processes of this run die with their driver
        process.wait()
    again = run(config)
    assert whole.name == again.name == "step-00000012"
    assert apart(*(load_file(one / "model.safetensors") for one in (whole, again))) == 0
    figures = [
        [(one["step"], one["loss"]) for one in read_metrics(tmp_path / name)] for name in ("whole", "cut")
    ]
    assert figures[0] == figures[1] and len(figures[0]) == 12
    assert figures[0][-1][1] < figures[0][0][1]
    assert any((tmp_path / "cut" / "tensorboard").iterdir())


def test_what_is_wrong_is_said_before_any_learner_starts(tiny: Checkpoint, tmp_path: Path) -> None:
    """No cluster is there, and none is started."""

    def refused(match: str, data: Path, **changes: object) -> None:
        output = tmp_path / f"out-{time.monotonic_ns()}"
        with pytest.raises(CommandError, match=match):
            run(SftConfig.model_validate(sft(tiny, data, output, **changes)))

    good = lessons(tmp_path)
    refused("no such file", tmp_path / "missing.jsonl")
    wrong = tmp_path / "wrong.jsonl"
    wrong.write_text('{"question": "x"}\n')
    refused("conversations", wrong)
    pictured = tmp_path / "pictured.jsonl"
    talk = [{"from": "human", "value": "<image>what?"}, {"from": "gpt", "value": "a cat"}]
    pictured.write_text(json.dumps({"conversations": talk, "image": "cat.png"}) + "\n")
    refused(r"cat\.png", pictured)
    policy = settings(tiny.path).policy.model_dump() | {"max_tokens": 8}
    refused(r"25 are longer than policy\.max_tokens", good, policy=policy)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("mine")
    with pytest.raises(CommandError, match="no run"):
        run(SftConfig.model_validate(sft(tiny, good, tmp_path / "other")))
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "config.yaml").write_text("seed: 1\n")
    with pytest.raises(CommandError, match=r"other settings.*seed"):
        run(SftConfig.model_validate(sft(tiny, good, taken)))


def test_more_learners_than_sequences_are_refused() -> None:
    with pytest.raises(ValueError, match="without work"):
        SftConfig.model_validate(
            {
                "policy": {"model": "m"},
                "data": "d",
                "output": "o",
                "batch_size": 2,
                "strategy": {"workers": 3},
            }
        )
