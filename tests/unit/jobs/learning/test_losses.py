"""The loss, beside a second implementation and beside TRL's, and the laws that it obeys."""

from __future__ import annotations

from collections import defaultdict
from itertools import product
from types import SimpleNamespace
from typing import Any

import pytest

pytestmark = pytest.mark.train
torch = pytest.importorskip("torch", reason="needs the extra `train`")

from hypothesis import given  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from personavlm.jobs.learning.config import LossConfig  # noqa: E402
from personavlm.jobs.learning.losses import LossParts, SampledTokens, Totals, grpo_loss  # noqa: E402
from tests.unit.jobs.learning.reference_loss import PaddedBatch, looped_loss  # noqa: E402

CASES = [
    LossConfig.model_validate(
        dict(aggregation=aggregation, ratio=ratio, beta=beta, kl=kl, old_policy=old, dual_clip=dual,
             max_completion_tokens=11)
    )
    for aggregation, ratio, (beta, kl), old, dual in product(
        ("token", "seq", "dr_grpo"), ("token", "sequence"), ((0.0, "k3"), (0.01, "k3"), (0.3, "k1")),
        ("rollout", "recomputed"), (None, 1.5),
    )
]  # fmt: skip
SEEDS = st.integers(0, 2**31)


def differentiate(batch: PaddedBatch, config: LossConfig) -> tuple[float, Any]:
    tokens, leaf = batch.tokens(config)
    loss = grpo_loss(tokens, batch.totals, config).loss
    loss.backward()
    return float(loss.detach()), leaf.grad


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("config", CASES)
def test_the_loss_is_that_of_plain_loops(config: LossConfig, seed: int) -> None:
    batch = PaddedBatch.random(seed)
    loss, gradient = differentiate(batch, config)
    assert loss == pytest.approx(looped_loss(batch, config), abs=1e-12)
    assert not gradient[~batch.mask].any()


@pytest.mark.parametrize("config", CASES[::5])
def test_the_gradient_is_that_of_finite_differences(config: LossConfig) -> None:
    batch, width = PaddedBatch.random(7), 1e-6
    _, gradient = differentiate(batch, config)
    for row, at in batch.mask.nonzero().tolist():
        kept = float(batch.logprobs[row, at])
        batch.logprobs[row, at] = kept + width
        above = looped_loss(batch, config)
        batch.logprobs[row, at] = kept - width
        below = looped_loss(batch, config)
        batch.logprobs[row, at] = kept
        assert float(gradient[row, at]) == pytest.approx((above - below) / (2 * width), abs=1e-7)


TRL_NAMES = {"grpo": "seq", "bnpo": "token", "dapo": "token", "dr_grpo": "dr_grpo"}


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("corrected", [False, True])
@pytest.mark.parametrize("beta", [0.0, 0.01])
@pytest.mark.parametrize("ratio", ["token", "sequence"])
@pytest.mark.parametrize("kind", TRL_NAMES)
def test_the_loss_and_gradient_are_those_of_trl(
    kind: str, ratio: str, beta: float, corrected: bool, seed: int
) -> None:
    """TRL counts a row without tokens in means over rows, ours does not; so every row here has some."""
    config = LossConfig.model_validate(
        dict(aggregation=TRL_NAMES[kind], ratio=ratio, beta=beta, max_completion_tokens=11,
             old_policy="recomputed", max_weight=2.0 if corrected else None)
    )  # fmt: skip
    batch = PaddedBatch.random(seed)
    batch.mask[-1, :2] = True
    ours, gradient = differentiate(batch, config)
    leaf = batch.logprobs.clone().requires_grad_()
    theirs = trl_loss(kind, leaf, batch, config, corrected)
    theirs.backward()
    assert abs(float(theirs) - ours) < 1e-12
    assert float((leaf.grad - gradient).abs().max()) < 1e-12
    assert not leaf.grad[~batch.mask].any()


def _same(tensor: Any, **_: object) -> Any:  # noqa: ANN401
    return tensor


def trl_loss(kind: str, leaf: Any, batch: PaddedBatch, config: LossConfig, corrected: bool) -> Any:  # noqa: ANN401
    """TRL's own method, on an object that has what it reads and nothing more."""
    trainer = pytest.importorskip("trl.trainer.grpo_trainer").GRPOTrainer
    stub = SimpleNamespace(
        aux_loss_enabled=False, top_entropy_quantile=1.0, off_policy_mask_threshold=None,
        importance_sampling_level=config.ratio, beta=config.beta, loss_type=kind,
        epsilon_low=config.clip_low, epsilon_high=config.clip_high, use_vllm=corrected,
        vllm_importance_sampling_correction=corrected, current_gradient_accumulation_steps=1,
        max_completion_length=config.max_completion_tokens, _entropy_bonus_enabled=False,
        model=SimpleNamespace(training=True), _metrics={"train": defaultdict(list)},
        args=SimpleNamespace(delta=None, use_bias_correction_kl=False, steps_per_generation=1),
        accelerator=SimpleNamespace(num_processes=1, gather=_same, reduce=_same),
        _get_per_token_logps_and_entropies=lambda *_, **__: (leaf, torch.zeros_like(leaf), None),
    )  # fmt: skip
    places = torch.ones_like(batch.mask, dtype=torch.long)
    prompt = torch.ones(len(batch.mask), 2, dtype=torch.long)
    inputs = dict(
        prompt_ids=prompt, prompt_mask=prompt, completion_ids=places, completion_mask=places,
        tool_mask=batch.mask.long(), advantages=batch.advantages, old_per_token_logps=batch.old,
        ref_per_token_logps=batch.reference, num_items_in_batch=batch.mask.sum(),
        importance_sampling_ratio=torch.exp(batch.old - batch.sampled).clamp(max=2.0),
    )  # fmt: skip
    return trainer._compute_loss(stub, None, inputs)


@given(SEEDS, st.sampled_from(CASES), st.integers(1, 3))
def test_any_split_of_the_batch_gives_the_same_loss_and_gradient(
    seed: int, config: LossConfig, cut: int
) -> None:
    batch = PaddedBatch.random(seed)
    whole, gradient = differentiate(batch, config)
    parts = [differentiate_rows(batch, config, rows) for rows in ([*range(cut)], [*range(cut, 4)])]
    assert sum(loss for loss, _ in parts) == pytest.approx(whole, abs=1e-12)
    assert torch.allclose(torch.cat([part for _, part in parts]), gradient, atol=1e-13, rtol=0)


def differentiate_rows(batch: PaddedBatch, config: LossConfig, rows: list[int]) -> tuple[float, Any]:
    tokens, leaf = batch.tokens(config, rows)
    loss = grpo_loss(tokens, batch.totals, config).loss
    loss.backward()
    return float(loss.detach()), leaf.grad if leaf.grad is not None else torch.zeros_like(leaf)


def test_means_of_means_are_something_else() -> None:
    """The mistake that global counts avoid, so that the test above is known to notice it."""
    batch, config = PaddedBatch.random(0), LossConfig(aggregation="token")
    whole, _ = differentiate(batch, config)
    means = []
    for rows in ([0], [1, 2]):
        tokens, _ = batch.tokens(config, rows)
        means.append(float(grpo_loss(tokens, Totals(int(batch.mask[rows].sum()), len(rows)), config).loss))
    assert abs(sum(means) / 2 - whole) > 1e-3


@given(SEEDS)
def test_on_policy_the_gradient_is_the_advantage_over_the_count(seed: int) -> None:
    batch = PaddedBatch.random(seed)
    batch.sampled = batch.logprobs.clone()
    _, gradient = differentiate(batch, LossConfig(beta=0))
    expected = torch.where(batch.mask, -batch.advantages[:, None] / batch.totals.tokens, 0.0)
    assert torch.allclose(gradient, expected, atol=1e-14, rtol=0)


@given(SEEDS)
def test_garbage_where_nothing_was_sampled_changes_nothing(seed: int) -> None:
    config = LossConfig(old_policy="recomputed")
    batch = PaddedBatch.random(seed)
    loss, gradient = differentiate(batch, config)
    for values in (batch.sampled, batch.old, batch.reference):
        values[~batch.mask] = torch.nan
    again, same = differentiate(batch, config)
    assert again == loss and torch.equal(gradient, same)


@given(
    st.lists(st.floats(-40, 0), min_size=1, max_size=9), st.lists(st.floats(-40, 0), min_size=9, max_size=9)
)
def test_the_divergence_is_never_negative_nor_endless(logprobs: list[float], reference: list[float]) -> None:
    own = torch.tensor(logprobs, dtype=torch.float64)
    other = torch.tensor(reference[: len(own)], dtype=torch.float64)
    parts = loss_of(own, own, torch.zeros(len(own)), other)
    assert (parts.divergence >= 0).all() and parts.divergence.isfinite().all()


def test_a_group_that_agrees_teaches_nothing() -> None:
    own = torch.tensor([-1.0, -2.0], requires_grad=True)
    loss_of(own, own.detach(), torch.zeros(2)).loss.backward()
    assert own.grad is not None and not own.grad.any()


def loss_of(own: Any, sampled: Any, advantages: Any, reference: Any = None) -> LossParts:  # noqa: ANN401
    rows = torch.zeros(len(own), dtype=torch.long)
    tokens = SampledTokens(own, sampled, advantages, rows, reference=reference)
    return grpo_loss(tokens, Totals(len(own), 1), LossConfig(beta=0.1))


def test_stale_rollouts_need_a_correction() -> None:
    uncorrected = LossConfig(old_policy="recomputed", max_weight=None)
    uncorrected.require_staleness(0)
    LossConfig().require_staleness(1)
    with pytest.raises(ValueError, match="max_weight"):
        uncorrected.require_staleness(1)
