"""Plain vector search: the texts whose vectors come nearest to one vector, exactly."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from personavlm.memory_store.encoder import Vectors
from personavlm.memory_store.retrieval.lexical import Scores


@dataclass(frozen=True, slots=True)
class Near:
    """A field of a record, with the cosine of its vector."""

    id: str
    field: str
    cosine: float


<<<<<<< /tmp/mine/m/mine
def nearest(names: Sequence[tuple[str, str]], cosines: Scores, k: int) -> list[Near]:
    """The k greatest, best first; NaN is left out. ``names`` are id and field by position."""
    k = min(k, len(cosines))
=======
def nearest(cosines: Scores, k: int) -> list[tuple[int, float]]:
    """Positions and values of the k greatest, best first; NaN is left out."""
    unknown = np.isnan(cosines)
    values = np.where(unknown, np.float32(-np.inf), cosines) if unknown.any() else cosines
    k = min(k, len(values))
>>>>>>> /tmp/mine/m/theirs
    if k <= 0:
        return []
    values = np.where(np.isnan(cosines), np.float32(-np.inf), cosines)
    best = np.argpartition(values, len(values) - k)[len(values) - k :]
    best = best[np.argsort(-values[best], kind="stable")]
    chosen = [(*names[place], float(values[place])) for place in best.tolist()]
    return [Near(id, field, cosine) for id, field, cosine in chosen if cosine > -np.inf]


def nearest_rows(names: Sequence[tuple[str, str]], rows: Vectors, vector: Vectors, k: int) -> list[Near]:
    """The same by unit vectors ``(n, dim)``."""
    return nearest(names, np.vecdot(rows, vector), k)
