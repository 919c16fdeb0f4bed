"""Fit the weights by which episodes are linked. `python -m tests.benchmarks.fit_links`

Logistic regression over pairs of planted episodes, positive where both belong to one matter. Prints the
weights, and what links of the present weights are worth on the matters fitted on and on others.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from personavlm.memory_store.lifecycle.links import (
    BIAS,
    COSINE,
    HALF_KEYWORDS,
    KEYWORDS,
    NAMES,
    features,
    mentions,
    rarities,
)
from personavlm.platform.encoders.cached import CachedEncoder
from personavlm.platform.encoders.minilm import MiniLmEncoder
from tests.unit.memory_store.planted_threads import measure, plant

FITTED_SEEDS, JUDGED_SEEDS = range(60), range(2000, 2030)
RIDGE = 1e-4
STEPS = 30

Floats = NDArray[np.float64]


def pairs(encoder: CachedEncoder) -> Iterator[tuple[tuple[float, ...], bool]]:
    """Features of every pair of episodes of each planted user, and whether both are of one matter."""
    for seed in FITTED_SEEDS:
        planted = plant("fitted", seed)
        related = planted.related()
        said = [mentions(episode) for episode in planted.episodes]
        vectors = encoder.encode([episode.text for episode in planted.episodes])
        for number, episode in enumerate(planted.episodes):
            rarity = rarities(said[number], said[:number])
            for i, older in enumerate(planted.episodes[:number]):
                cosine = float(vectors[i] @ vectors[number])
                yield features(said[number], said[i], rarity, cosine), (episode.id, older.id) in related


def fitted(values: Floats, positive: Floats) -> Floats:
    """``(features + 1,)`` weights, the bias last, by Newton's method with a small ridge."""
    inputs = np.column_stack([values, np.ones(len(values))])
    ridge = RIDGE * np.diag([*np.ones(values.shape[1]), 0])
    weights = np.zeros(inputs.shape[1])
    for _ in range(STEPS):
        chances = 1 / (1 + np.exp(-inputs @ weights))
        slope = inputs.T @ (chances - positive) / len(inputs) + ridge @ weights
        curve = (inputs * (chances * (1 - chances))[:, None]).T @ inputs / len(inputs) + ridge
        weights -= np.linalg.solve(curve, slope)
    return weights


def main() -> None:
    encoder = CachedEncoder(MiniLmEncoder())
    values, positive = zip(*pairs(encoder), strict=True)
    found = fitted(np.array(values), np.array(positive, np.float64))
    for name, weight, present in zip(
        ("half keywords", "keywords", "names", "cosine", "bias"),
        found,
        (HALF_KEYWORDS, KEYWORDS, NAMES, COSINE, BIAS),
        strict=True,
    ):
        print(f"{name:14} fitted {weight:6.2f}, present {present:6.2f}")
    for name in ("fitted", "held_out"):
        for by, used in (("words", None), ("words and vectors", encoder)):
            print(f"{name:9} by {by:17} {measure(name, JUDGED_SEEDS, used)}")


if __name__ == "__main__":
    main()
