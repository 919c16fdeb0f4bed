"""The GRPO loss and its parts, over the tokens that the policy sampled.

With logarithms of probabilities *l* under the policy that learns, *o* under the old policy, *s* as recorded
when sampled and *f* under the reference, and a trajectory's advantage *A*:

* ratio r = exp(l - o), or for GSPO (Zheng et al. 2025) exp of its mean over the trajectory; with
  ``old_policy: rollout`` *o* is *s*;
* policy loss = -w min(r' A, clip(r, 1 - low, 1 + high) A), r' = min(r, dual_clip) (Schulman et al. 2017; high
  apart from low: DAPO, Yu et al. 2025; the bound on r: Ye et al. 2020, as TRL and verl apply it);
* w = min(exp(o - s), max_weight), with ``recomputed``: truncated importance sampling (Yao et al. 2025);
* plus beta times the divergence (Schulman 2020): k1 = l - f, or k3 = exp(d) - d - 1 with d = f - l, d limited
  to 20 either way, outside of w.

Sums are divided by counts of the whole batch, over all processes and micro-batches (`Totals`), never by
counts of a part: means of means would depend on how the batch was cut.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from personavlm.jobs.learning.config import LossConfig

LARGEST_LOG_RATIO = 20.0


@dataclass(frozen=True, slots=True)
class Totals:
    """Of a whole optimiser step: tokens that count, and trajectories that hold at least one of them."""

    tokens: int
    sequences: int


@dataclass(frozen=True, slots=True)
class SampledTokens:
    """The tokens that count of one micro-batch of whole trajectories. All are (tokens,), in nats.

    ``logprobs`` carry the gradient. ``rows`` say whose token it is, from 0.
    """

    logprobs: Tensor
    sampled: Tensor
    advantages: Tensor
    rows: Tensor
    old: Tensor | None = None
    reference: Tensor | None = None


@dataclass(frozen=True, slots=True)
class LossParts:
    """``loss`` is this micro-batch's share of the batch's. The others are (tokens,), without gradient."""

    loss: Tensor
    ratios: Tensor
    weights: Tensor
    divergence: Tensor


def grpo_loss(tokens: SampledTokens, totals: Totals, config: LossConfig) -> LossParts:
    """This micro-batch's share of the loss: shares of all micro-batches and processes sum up to it."""
    old = tokens.sampled if tokens.old is None else tokens.old
    ratios = torch.exp(_log_ratios(tokens.logprobs - old, tokens.rows, config))
    weights = _weights(tokens, config)
    losses = -weights * _clipped(ratios, tokens.advantages, config)
    divergence = torch.zeros_like(losses)
    if tokens.reference is not None:
        divergence = _divergence(tokens.logprobs, tokens.reference, config.kl)
        losses = losses + config.beta * divergence
    loss = _aggregated(losses, tokens.rows, totals, config)
    return LossParts(loss, ratios.detach(), weights, divergence.detach())


def supervised_loss(logprobs: Tensor, totals: Totals) -> Tensor:
    """This micro-batch's share of the mean cross-entropy over all targets of the batch."""
    return -logprobs.sum() / max(1, totals.tokens)


def _log_ratios(log_ratios: Tensor, rows: Tensor, config: LossConfig) -> Tensor:
    if config.ratio == "token":
        return log_ratios
    return _row_means(log_ratios, rows)[rows]


def _weights(tokens: SampledTokens, config: LossConfig) -> Tensor:
    if tokens.old is None or config.max_weight is None:
        return torch.ones_like(tokens.sampled)
    return torch.exp(tokens.old - tokens.sampled).clamp(max=config.max_weight).detach()


def _clipped(ratios: Tensor, advantages: Tensor, config: LossConfig) -> Tensor:
    within = ratios.clamp(1 - config.clip_low, 1 + config.clip_high)
    bounded = ratios if config.dual_clip is None else ratios.clamp(max=config.dual_clip)
    return torch.min(bounded * advantages, within * advantages)


def _divergence(logprobs: Tensor, reference: Tensor, kind: str) -> Tensor:
    if kind == "k1":
        return logprobs - reference
    difference = (reference - logprobs).clamp(-LARGEST_LOG_RATIO, LARGEST_LOG_RATIO)
    return torch.exp(difference) - difference - 1


def _aggregated(losses: Tensor, rows: Tensor, totals: Totals, config: LossConfig) -> Tensor:
    sequences = max(1, totals.sequences)
    if config.aggregation == "token":
        return losses.sum() / max(1, totals.tokens)
    if config.aggregation == "seq":
        return _row_means(losses, rows).sum() / sequences
    return losses.sum() / (sequences * config.max_completion_tokens)


def _row_means(values: Tensor, rows: Tensor) -> Tensor:
    """Mean of each row's tokens, (rows,); 0 for a row without any."""
    count = int(rows.max()) + 1 if rows.numel() else 0
    sums = torch.zeros(count, dtype=values.dtype, device=values.device).index_add(0, rows, values)
    return sums / torch.bincount(rows, minlength=count).clamp(min=1)
