"""The GRPO loss a second time, with plain loops over padded rows in 64 bits, as its formulas read."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from personavlm.jobs.learning.config import LossConfig
from personavlm.jobs.learning.losses import SampledTokens, Totals


@dataclass
class PaddedBatch:
    """(rows, places); ``mask`` has inner zeros, as where something was shown between two turns."""

    logprobs: Tensor
    sampled: Tensor
    old: Tensor
    reference: Tensor
    mask: Tensor
    advantages: Tensor

    @classmethod
    def random(cls, seed: int, rows: int = 4, places: int = 9) -> PaddedBatch:
        """Ratios on both sides of every bound; one row without any token that counts."""
        generator = torch.Generator().manual_seed(seed)

        def noise(scale: float) -> Tensor:
            return scale * torch.randn(rows, places, generator=generator, dtype=torch.float64)

        logprobs = -2 + noise(0.5)
        mask = torch.rand(rows, places, generator=generator) < 0.7
        mask[:, 3:5] = False
        mask[-1] = False
        advantages = torch.randn(rows, generator=generator, dtype=torch.float64)
        return cls(
            logprobs, logprobs + noise(0.4), logprobs + noise(0.4), logprobs + noise(0.4), mask, advantages
        )

    @property
    def totals(self) -> Totals:
        return Totals(int(self.mask.sum()), int(self.mask.any(dim=1).sum()))

    def tokens(self, config: LossConfig, rows: list[int] | None = None) -> tuple[SampledTokens, Tensor]:
        """What the learner would hold of these rows, and the padded log-probabilities to differentiate by."""
        chosen = list(range(len(self.mask))) if rows is None else rows
        leaf = self.logprobs[chosen].clone().requires_grad_()
        mask = self.mask[chosen]
        counts = mask.sum(dim=1)
        flat = SampledTokens(
            leaf[mask],
            self.sampled[chosen][mask],
            self.advantages[chosen].repeat_interleave(counts),
            torch.arange(len(chosen)).repeat_interleave(counts),
            self.old[chosen][mask] if config.old_policy == "recomputed" else None,
            self.reference[chosen][mask] if config.beta else None,
        )
        return flat, leaf


def looped_loss(batch: PaddedBatch, config: LossConfig) -> float:
    """The loss of the whole batch."""
    rows = [_row(batch, row, config) for row in range(len(batch.mask)) if batch.mask[row].any()]
    if config.aggregation == "token":
        return sum(map(sum, rows)) / sum(map(len, rows))
    if config.aggregation == "seq":
        return sum(sum(row) / len(row) for row in rows) / len(rows)
    return sum(map(sum, rows)) / (len(rows) * config.max_completion_tokens)


def _row(batch: PaddedBatch, row: int, config: LossConfig) -> list[float]:
    places = [at for at in range(batch.mask.shape[1]) if batch.mask[row, at]]
    new, sampled, reference = (
        [float(one[row, at]) for at in places] for one in (batch.logprobs, batch.sampled, batch.reference)
    )
    recomputed = config.old_policy == "recomputed"
    old = [float(batch.old[row, at]) for at in places] if recomputed else sampled
    differences = [a - b for a, b in zip(new, old, strict=True)]
    if config.ratio == "sequence":
        differences = [sum(differences) / len(differences)] * len(differences)
    losses = []
    for at, difference in enumerate(differences):
        ratio, advantage = math.exp(difference), float(batch.advantages[row])
        clipped = min(max(ratio, 1 - config.clip_low), 1 + config.clip_high)
        bounded = min(ratio, config.dual_clip) if config.dual_clip else ratio
        loss = -min(bounded * advantage, clipped * advantage)
        if recomputed and config.max_weight:
            loss *= min(math.exp(old[at] - sampled[at]), config.max_weight)
        if config.beta:
            apart = reference[at] - new[at]
            k3 = math.exp(apart) - apart - 1
            loss += config.beta * (-apart if config.kl == "k1" else k3)
        losses.append(loss)
    return losses
