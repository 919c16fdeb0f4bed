"""A step of supervised learning."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from personavlm.jobs.learning.batches import Pack
from personavlm.jobs.learning.learner import Learner
from personavlm.jobs.learning.losses import Totals, supervised_loss
from personavlm.jobs.learning.sequences import widen
from personavlm.jobs.learning.tally import Tally
from personavlm.jobs.trajectories import Example


def supervised_step(learner: Learner, batch: Sequence[Example]) -> dict[str, float]:
    """One update towards the batch's targets. Every target of the batch counts the same."""
    sequences = [widen(one, learner.checkpoint, learner.pictures.tokens) for one in batch]
    totals = Totals(sum(len(one.targets) for one in sequences), len(sequences))
    tally = Tally(learner.world)

    def share(indexes: list[int], pack: Pack) -> Tensor:
        scores = learner.score(pack, ban=False)
        loss = supervised_loss(scores.logprobs, totals)
        tally.add("loss", loss)
        tally.add("entropy", scores.entropies)
        return loss

    rate = learner.rate
    norm = learner.update(learner.packs(sequences), share)
    sums, _ = tally.totals()
    return {
        "loss": sums["loss"],
        "entropy": sums["entropy"] / max(1, totals.tokens),
        "gradient_norm": norm,
        "learning_rate": rate,
        "tokens": float(sum(len(one) for one in sequences)),
        "targets": float(totals.tokens),
        "sequences": float(totals.sequences),
    }
