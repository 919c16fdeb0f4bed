"""A linear ranking model fitted by listwise softmax (ListNet: Cao et al., ICML 2007), in NumPy.

For each question the scores of its candidates go through a softmax; the loss is the cross-entropy
against equal shares for the evidence. An l2 penalty pulls the weights towards given ones.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Weights = NDArray[np.float64]

STEPS = 300
RATE = 0.05
MOMENTUM, SQUARES = 0.9, 0.99


@dataclass(frozen=True, slots=True)
class Query:
    """Signals of one question's candidates ``(n, k)``, which of them are evidence ``(n,)``.

    ``weight`` is how much the question counts.
    """

    signals: Floats
    evidence: NDArray[np.bool_]
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Batch:
    """Queries padded to one length: signals ``(q, n, k)``, mask, targets ``(q, n)``, weights ``(q, 1)``."""

    signals: Floats
    mask: Floats
    targets: Floats
    weights: Floats

    @classmethod
    def of(cls, queries: Sequence[Query]) -> "Batch":
        """ValueError for a query without evidence."""
        longest = max(len(query.evidence) for query in queries)
        shape = (len(queries), longest)
        signals = np.zeros((*shape, queries[0].signals.shape[1]), np.float32)
        mask, targets = np.full(shape, -np.inf, np.float32), np.zeros(shape, np.float32)
        for row, query in enumerate(queries):
            size = len(query.evidence)
            if not query.evidence.any():
                raise ValueError(f"query {row} has no evidence among its candidates")
            signals[row, :size], mask[row, :size] = query.signals, 0
            targets[row, :size] = query.evidence / query.evidence.sum()
        weights = np.array([query.weight for query in queries], np.float32)[:, None]
        return cls(signals, mask, targets, weights / weights.sum())


def gradient(batch: Batch, weights: Weights) -> Weights:
    """Of the mean loss, by weight: ``(k,)``."""
    scores = batch.signals @ weights.astype(np.float32) + batch.mask
    shares = np.exp(scores - scores.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    return np.asarray(
        np.einsum("qn,qnk->k", (shares - batch.targets) * batch.weights, batch.signals), np.float64
    )


def fit(
    batch: Batch, towards: Weights, l2: float, least: Weights | None = None, off: Collection[int] = ()
) -> Weights:
    """Weights ``(k,)``: Adam over all queries at once, from ``towards``, to which ``l2`` pulls back.

    No weight falls below its ``least``; those at the positions ``off`` are 0.
    """
    without = sorted(off)
    weights = towards.astype(np.float64)
    mean, square = np.zeros_like(weights), np.zeros_like(weights)
    for step in range(1, STEPS + 1):
        slope = gradient(batch, weights) + l2 * (weights - towards)
        mean = MOMENTUM * mean + (1 - MOMENTUM) * slope
        square = SQUARES * square + (1 - SQUARES) * slope**2
        # The rate falls to nothing, so that the last steps settle.
        rate = RATE * (1 - step / (STEPS + 1)) / (1 - MOMENTUM**step)
        weights = weights - rate * mean / (np.sqrt(square / (1 - SQUARES**step)) + 1e-8)
        if least is not None:
            weights = np.maximum(weights, least)
        weights[without] = 0
    return weights
