"""Plain vector search: the texts whose vectors come nearest to one vector, exactly."""

from dataclasses import dataclass

import numpy as np

from personavlm.memory_store.retrieval.lexical import Scores


@dataclass(frozen=True, slots=True)
class Near:
    """A field of a record, with the cosine of its vector."""

    id: str
    field: str
    cosine: float


def nearest(cosines: Scores, k: int) -> list[tuple[int, float]]:
    """Positions and values of the k greatest, best first; NaN is left out."""
    unknown = np.isnan(cosines)
    values = np.where(unknown, np.float32(-np.inf), cosines) if unknown.any() else cosines
    k = min(k, len(values))
    if k <= 0:
        return []
    best = np.argpartition(values, len(values) - k)[len(values) - k :]
    best = best[np.argsort(-values[best], kind="stable")]
    found = zip(best.tolist(), values[best].tolist(), strict=True)
    return [(position, value) for position, value in found if value > -np.inf]
