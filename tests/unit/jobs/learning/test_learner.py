"""However a step is divided, it is the same; and an interrupted run ends where a whole one does."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

pytestmark = pytest.mark.train
torch = pytest.importorskip("torch", reason="needs the extra `train`")

from safetensors.torch import load_file, save_file  # noqa: E402
from torch import Tensor  # noqa: E402

from personavlm.jobs.learning.checkpointing import load, save  # noqa: E402
from personavlm.jobs.learning.config import GrpoLearnerConfig  # noqa: E402
from personavlm.jobs.learning.grpo_step import GrpoStep  # noqa: E402
from personavlm.jobs.learning.learner import Learner  # noqa: E402
from personavlm.jobs.learning.saved import SavedCheckpoints  # noqa: E402
from personavlm.jobs.learning.sequences import TokenSequence, widen  # noqa: E402
from personavlm.jobs.learning.strategies import World  # noqa: E402
from personavlm.jobs.learning.supervised import supervised_step  # noqa: E402
from personavlm.jobs.trajectories import Weighted  # noqa: E402
from personavlm.platform.engines.checkpoint import Checkpoint  # noqa: E402
from personavlm.platform.errors import CommandError  # noqa: E402
from tests.unit.jobs.learning.tiny_runs import examples, weighted  # noqa: E402
from tests.unit.jobs.learning.worlds import apart, learner, settings, together, weights  # noqa: E402


def one_step(config: GrpoLearnerConfig, images: Path, batch: list[Weighted]) -> dict[str, Tensor]:
    made = learner(config, images)
    GrpoStep(made, config)(batch)
    return weights(made)


def step_and_write(
    world: World, config: GrpoLearnerConfig, images: Path, out: Path, seeds: list[int]
) -> None:
    """What each process of several runs: the last batch is text alone for one of two processes."""
    checkpoint = Checkpoint.open(config.policy.model)
    made = learner(config, images, world)
    step = GrpoStep(made, config)
    figures = [step(weighted(checkpoint, images, 6, seed)) for seed in seeds]
    kept = SavedCheckpoints(out / f"checkpoints-{world.size}", keep=1)
    save(made, kept, {})
    found = made.weights()
    if world.rank == 0:
        save_file(found, out / f"{config.strategy.kind}-{world.size}.safetensors")
        (out / f"{config.strategy.kind}-{world.size}.json").write_text(json.dumps(figures))


@pytest.mark.parametrize("kind", ["ddp", "fsdp2"])
def test_two_processes_are_one(tiny: Checkpoint, images: Path, tmp_path: Path, kind: str) -> None:
    config = settings(tiny.path, strategy={"kind": kind, "pack_tokens": 256})
    one = settings(tiny.path)
    step_and_write(World(0, 1, torch.device("cpu")), one, images, tmp_path, [1, 2])
    together(2, tmp_path, step_and_write, config, images, tmp_path, [1, 2])
    alone, both = (load_file(tmp_path / f"{name}.safetensors") for name in ("ddp-1", f"{kind}-2"))
    assert apart(alone, both) < 1e-6
    figures = [json.loads((tmp_path / f"{name}.json").read_text()) for name in ("ddp-1", f"{kind}-2")]
    for expected, found in zip(*figures, strict=True):
        assert found == pytest.approx(expected, rel=1e-3, abs=1e-5)


@pytest.mark.parametrize("aggregation", ["token", "seq", "dr_grpo"])
def test_small_packs_give_the_step_of_large_ones(tiny: Checkpoint, images: Path, aggregation: str) -> None:
    batch = weighted(tiny, images, 6)
    loss = {"aggregation": aggregation, "old_policy": "recomputed"}
    small = {"policy": {"max_tokens": 64}, "strategy": {"pack_tokens": 64}}
    large = settings(tiny.path, loss=loss, strategy={"pack_tokens": 4096})
    assert (
        apart(
            one_step(settings(tiny.path, loss=loss, **small), images, batch), one_step(large, images, batch)
        )
        < 2e-6
    )


def test_the_order_of_a_batch_does_not_matter(tiny: Checkpoint, images: Path) -> None:
    batch, config = weighted(tiny, images, 6), settings(tiny.path)
    assert apart(one_step(config, images, batch), one_step(config, images, batch[::-1])) < 2e-6


@pytest.mark.parametrize("beta", [0.0, 0.1])
def test_nothing_is_learned_without_advantages_and_from_what_was_cut(
    tiny: Checkpoint, images: Path, beta: float
) -> None:
    config = settings(tiny.path, loss={"beta": beta})
    batch = weighted(tiny, images, 4)
    agreed = [replace(row, advantage=0.0) for row in batch]
    cut = [replace(row, trajectory=replace(row.trajectory, truncated=True)) for row in batch]
    before = weights(learner(config, images))
    for rows in (agreed, cut):
        # The divergence from the reference is least where training begins, but for rounding.
        assert apart(before, one_step(settings(tiny.path, loss={"beta": 0}), images, rows)) == 0


def test_rows_of_no_gradient_count_though_they_are_not_computed(tiny: Checkpoint, images: Path) -> None:
    batch = weighted(tiny, images, 4)
    mixed = [replace(row, advantage=0.0) if at % 2 else row for at, row in enumerate(batch)]
    skipping = settings(tiny.path, loss={"beta": 0.0})
    computing = settings(tiny.path, loss={"beta": 1e-30})
    assert apart(one_step(skipping, images, mixed), one_step(computing, images, mixed)) < 2e-6


def test_a_rate_of_nothing_is_flat_for_twenty_steps(tiny: Checkpoint, images: Path) -> None:
    config = settings(tiny.path, optimiser={"learning_rate": 0.0})
    made = learner(config, images)
    step, before, batch = GrpoStep(made, config), weights(made), weighted(tiny, images, 4)
    figures = [step(batch) for _ in range(20)]
    assert apart(before, weights(made)) == 0
    assert {one["mismatch_kl"] for one in figures} == {figures[0]["mismatch_kl"]}
    assert all(one["kl"] == pytest.approx(0, abs=1e-9) for one in figures)


@pytest.mark.parametrize("lora", [None, {"rank": 4, "alpha": 8}])
def test_a_resumed_run_ends_where_a_whole_one_does(
    tiny: Checkpoint, images: Path, tmp_path: Path, lora: dict[str, int] | None
) -> None:
    config = settings(tiny.path, policy={"lora": lora, "train_merger": lora is None})
    batches = [weighted(tiny, images, 4, seed) for seed in range(4)]
    whole, first = learner(config, images), learner(config, images)
    for batch in batches:
        GrpoStep(whole, config)(batch)
    for batch in batches[:2]:
        GrpoStep(first, config)(batch)
    kept = SavedCheckpoints(tmp_path, keep=2)
    save(first, kept, {"cursor": 7})
    second = learner(config, images)
    saved = kept.newest()
    assert saved is not None and saved.step == 2 and saved.state == {"cursor": 7}
    load(second, saved)
    for batch in batches[2:]:
        GrpoStep(second, config)(batch)
    assert apart(weights(whole), weights(second)) == 0 and apart(weights(whole), weights(first)) > 0


@pytest.mark.parametrize("lora", [None, {"rank": 4, "alpha": 8}])
def test_a_checkpoint_is_a_model_that_computes_the_same(
    tiny: Checkpoint, images: Path, tmp_path: Path, lora: dict[str, int] | None
) -> None:
    config = settings(tiny.path, policy={"lora": lora})
    made = learner(config, images)
    supervised_step(made, examples(tiny, images, 4))
    kept = SavedCheckpoints(tmp_path, keep=1)
    save(made, kept, {})
    saved = kept.newest()
    assert saved is not None
    opened = Checkpoint.open(str(saved.path))
    assert opened.config == tiny.config and opened.version() != tiny.version()
    again = learner(settings(saved.path), images)
    batch = weighted(tiny, images, 2)
    scores = [one.score(one.packs(_widened(tiny, one, batch))[0][1]).logprobs for one in (made, again)]
    assert torch.allclose(*scores, atol=1e-4, rtol=0)


def _widened(tiny: Checkpoint, made: Learner, batch: list[Weighted]) -> list[TokenSequence]:
    return [widen(row.trajectory, tiny, made.pictures.tokens) for row in batch]


def test_supervised_learning_learns(tiny: Checkpoint, images: Path) -> None:
    config = settings(tiny.path, optimiser={"learning_rate": 3e-3, "epsilon": 1e-8, "warmup": 0.0})
    made, batch = learner(config, images, steps=40), examples(tiny, images, 4)
    losses = [supervised_step(made, batch)["loss"] for _ in range(25)]
    assert losses[-1] < 0.3 * losses[0]


def test_a_half_written_checkpoint_is_not_taken(tiny: Checkpoint, images: Path, tmp_path: Path) -> None:
    made, kept = learner(settings(tiny.path), images), SavedCheckpoints(tmp_path, keep=3)
    for made.step in (1, 2, 3):
        save(made, kept, {})
    (tmp_path / "step-00000003" / "model.safetensors").write_bytes(b"cut")
    (tmp_path / "step-00000002" / "manifest.json").write_text("{")
    (tmp_path / ".step-00000004").mkdir()
    newest = kept.newest()
    assert newest is not None and newest.step == 1
    made.step = 4
    save(made, kept, {})
    assert {one.name for one in tmp_path.iterdir()} >= {"step-00000001", "step-00000004"}


def test_only_the_newest_checkpoints_stay(tiny: Checkpoint, images: Path, tmp_path: Path) -> None:
    made, kept = learner(settings(tiny.path), images), SavedCheckpoints(tmp_path, keep=2)
    for made.step in (1, 2, 3):
        save(made, kept, {})
    assert sorted(one.name for one in tmp_path.iterdir()) == ["step-00000002", "step-00000003"]


def test_a_checkpoint_that_cannot_be_written_says_so_and_leaves_nothing(
    tiny: Checkpoint, images: Path, tmp_path: Path
) -> None:
    import resource
    import signal

    made, kept = learner(settings(tiny.path), images), SavedCheckpoints(tmp_path, keep=2)
    save(made, kept, {})
    made.step = 1
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))  # files end there, as on a full disk
    try:
        with pytest.raises(CommandError, match=r"GB free.*continues from step 0"):
            save(made, kept, {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)
    assert [one.name for one in tmp_path.iterdir()] == ["step-00000000"]
