"""How well a ranking finds the evidence of questions, and how sure a difference between two rankings is."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

DEPTHS = (1, 3, 5, 10, 20)
COLUMNS = (*(f"R@{depth}" for depth in DEPTHS), "MRR", "all@10")
R10, MRR = COLUMNS.index("R@10"), COLUMNS.index("MRR")
RESAMPLES = 2_000

Floats = NDArray[np.float64]


def measures(scores: NDArray[np.float32], evidence: NDArray[np.int64]) -> list[float]:
    """One question's ``COLUMNS``: the share of its evidence among the best so many, 1 over the place of its
    best evidence, and whether the best ten hold all of it."""
    order = np.argsort(-scores, kind="stable")
    places = np.empty(len(order), np.int64)
    places[order] = np.arange(len(order))
    found = places[evidence]
    shares = [float((found < depth).mean()) for depth in DEPTHS]
    return [*shares, 1 / (1 + float(found.min())), float((found < 10).all())]


def interval(one: Floats, other: Floats) -> tuple[float, float, float]:
    """The mean difference of two rankings over the same questions, with its 95 % bootstrap interval.

    Questions are drawn with replacement, both rankings with the same draw (Efron, 1979).
    """
    differences = one - other
    draws = np.random.default_rng(0).integers(0, len(differences), (RESAMPLES, len(differences)))
    low, high = np.percentile(differences[draws].mean(axis=1), [2.5, 97.5])
    return float(differences.mean()), float(low), float(high)


def reciprocal_rank_fusion(rankings: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Equal-weight RRF with k 60 (Cormack, Clarke and Büttcher, 2009)."""
    fused = np.zeros(len(rankings[0]), np.float64)
    for scores in rankings:
        places = np.empty(len(scores), np.int64)
        places[np.argsort(-scores, kind="stable")] = np.arange(len(scores))
        fused += 1 / (61 + places)
    return fused.astype(np.float32)
