"""A step of GRPO: one batch of weighted trajectories, one or more updates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from personavlm.jobs.learning.batches import Pack
from personavlm.jobs.learning.config import GrpoLearnerConfig, LossConfig
from personavlm.jobs.learning.learner import Indexed, Learner
from personavlm.jobs.learning.loading import load_reference
from personavlm.jobs.learning.losses import LossParts, SampledTokens, Totals, grpo_loss
from personavlm.jobs.learning.policy import Policy, adapters_off
from personavlm.jobs.learning.sequences import TokenSequence, widen
from personavlm.jobs.learning.tally import Tally
from personavlm.jobs.trajectories import Weighted
from personavlm.platform.engines.checkpoint import Checkpoint


@dataclass(frozen=True, slots=True)
class _Fixed:
    """What stays through all updates of a batch, of one pack: (n,) log-probabilities and more."""

    indexes: list[int]
    pack: Pack
    sampled: Tensor
    advantages: Tensor
    old: Tensor | None
    reference: Tensor | None


class GrpoStep:
    """Turns batches into updates. Holds the reference, where one is asked for."""

    def __init__(self, learner: Learner, config: GrpoLearnerConfig) -> None:
        self._learner, self._config = learner, config
        self._loss: LossConfig = config.loss
        self._reference = self._frozen_copy() if self._needs_copy else None

    def __call__(self, batch: Sequence[Weighted]) -> dict[str, float]:
        """Learn from a batch; its figures. All processes are given the same batch.

        Trajectories that a length limit ended are left out (``overlong_filter``), as are those without a
        sampled token and those longer than the longest sequence; each is counted.
        """
        learner = self._learner
        rows, dropped = self._rows(batch)
        sequences = [widen(row.trajectory, learner.checkpoint, learner.pictures.tokens) for row in rows]
        totals = Totals(sum(len(one.targets) for one in sequences), len(sequences))
        kept = [at for at, row in enumerate(rows) if self._moves(row)]
        packs = self._fixed(learner.packs([sequences[at] for at in kept]), [rows[at] for at in kept])
        rate, tally, norm = learner.rate, Tally(learner.world), 0.0
        for update in range(self._loss.updates):
            norm = self._update(packs, totals, tally if update == 0 else Tally(learner.world))
        return self._figures(tally, totals, sequences) | dropped | {
            "gradient_norm": norm, "learning_rate": rate,
        }  # fmt: skip

    def _rows(self, batch: Sequence[Weighted]) -> tuple[list[Weighted], dict[str, float]]:
        cut = [row for row in batch if self._loss.overlong_filter and row.trajectory.truncated]
        silent = [row for row in batch if not any(row.trajectory.mask)]
        most = self._config.policy.max_tokens
        long = [row for row in batch if self._learner.length(row.trajectory) > most]
        out = {id(row) for row in (*cut, *silent, *long)}
        counts = {"dropped_truncated": cut, "dropped_empty": silent, "dropped_long": long}
        return [row for row in batch if id(row) not in out], {k: float(len(v)) for k, v in counts.items()}

    def _moves(self, row: Weighted) -> bool:
        """Whether the row has any gradient; without, it counts, but need not be computed."""
        return row.advantage != 0 or self._loss.beta != 0

    def _fixed(self, packs: Sequence[Indexed], rows: Sequence[Weighted]) -> list[_Fixed]:
        recompute = self._loss.old_policy == "recomputed"
        return [
            _Fixed(
                indexes,
                pack,
                self._flat([_sampled(rows[at]) for at in indexes]),
                self._flat([[rows[at].advantage] * sum(rows[at].trajectory.mask) for at in indexes]),
                self._score(pack) if recompute else None,
                self._referenced(pack),
            )
            for indexes, pack in packs
        ]

    @torch.no_grad()
    def _score(self, pack: Pack) -> Tensor:
        return self._learner.score(pack, self._loss.temperature).logprobs

    @torch.no_grad()
    def _referenced(self, pack: Pack) -> Tensor | None:
        if not self._loss.beta:
            return None
        if self._reference is not None:
            return self._reference(pack, self._loss.temperature).logprobs
        with adapters_off(self._learner.policy):
            return self._score(pack)

    def _update(self, packs: Sequence[_Fixed], totals: Totals, tally: Tally) -> float:
        fixed = {id(one.pack): one for one in packs}

        def share(indexes: list[int], pack: Pack) -> Tensor:
            known = fixed[id(pack)]
            scores = self._learner.score(pack, self._loss.temperature)
            tokens = SampledTokens(
                scores.logprobs, known.sampled, known.advantages, pack.rows, known.old, known.reference
            )
            parts = grpo_loss(tokens, totals, self._loss)
            _count(tally, tokens, parts, scores.entropies, self._loss)
            return parts.loss

        return self._learner.update([(one.indexes, one.pack) for one in packs], share)

    def _figures(self, tally: Tally, totals: Totals, sequences: Sequence[TokenSequence]) -> dict[str, float]:
        sums, extremes = tally.totals()
        count = max(1.0, sums.pop("counted"))
        loss = sums.pop("loss")
        return {
            "loss": loss,
            **{name: value / count for name, value in sums.items()},
            **extremes,
            "tokens": float(sum(len(one) for one in sequences)),
            "sampled_tokens": float(totals.tokens),
            "trajectories": float(totals.sequences),
        }

    @property
    def _needs_copy(self) -> bool:
        """Without LoRA the reference is the policy only where nothing but LoRA is trained."""
        policy = self._config.policy
        alone = policy.lora is not None and not policy.train_merger and not policy.train_vision
        return bool(self._loss.beta) and not (alone and self._config.reference is None)

    def _frozen_copy(self) -> Policy:
        checkpoint = Checkpoint.open(self._config.reference or self._config.policy.model)
        policy = load_reference(checkpoint, self._learner.checkpoint, self._config.policy)
        return policy.to(self._learner.world.device).eval()

    def _flat(self, rows: Sequence[Sequence[float]]) -> Tensor:
        return torch.tensor([value for row in rows for value in row], device=self._learner.world.device)


def _sampled(row: Weighted) -> list[float]:
    trajectory = row.trajectory
    return [one for one, mine in zip(trajectory.logprobs, trajectory.mask, strict=True) if mine]


@torch.no_grad()
def _count(
    tally: Tally, tokens: SampledTokens, parts: LossParts, entropies: Tensor, config: LossConfig
) -> None:
    """How far apart sampler and learner are, and what was clipped."""
    apart = tokens.logprobs - tokens.sampled
    up = tokens.advantages > 0
    tally.add("counted", torch.ones_like(apart))
    tally.add("loss", parts.loss)
    tally.add("mismatch_kl", apart.exp() - apart - 1)
    tally.add("mismatch_logprob", apart.abs())
    tally.add("clipped_low", (parts.ratios < 1 - config.clip_low) & ~up)
    tally.add("clipped_high", (parts.ratios > 1 + config.clip_high) & up)
    tally.add("ratio", parts.ratios)
    tally.add("weight", parts.weights)
    tally.add("weight_truncated", parts.weights >= (config.max_weight or torch.inf))
    tally.add("entropy", entropies)
    tally.add("kl", parts.divergence)
    tally.range("ratio", parts.ratios)
    tally.range("weight", parts.weights)
