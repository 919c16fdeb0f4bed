"""An encoder that remembers: the same words reach it again and again.

A message is encoded ahead of the search that its answer may need, for that search, and once more as a turn
of the past. Only the first time costs anything.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from threading import Lock

import numpy as np

from personavlm.memory_store.encoder import TextEncoder, Vectors


class CachedEncoder:
    """A ``TextEncoder`` in front of another. Keeps the vectors of the last ``size`` texts.

    Threads may share it; while one encodes, others wait, and find what it encoded.
    """

    def __init__(self, encoder: TextEncoder, size: int = 512) -> None:
        self._encoder, self._size = encoder, size
        self._vectors: OrderedDict[str, Vectors] = OrderedDict()
        self._lock = Lock()

    @property
    def model_id(self) -> str:
        """The other encoder's."""
        return self._encoder.model_id

    @property
    def dim(self) -> int:
        """The other encoder's."""
        return self._encoder.dim

    def encode(self, texts: Sequence[str]) -> Vectors:
        """``(len(texts), dim)`` float32 with unit rows."""
        with self._lock:
            new = [text for text in dict.fromkeys(texts) if text not in self._vectors]
            fresh = dict(zip(new, self._encoder.encode(new), strict=True)) if new else {}
            rows = [self._vectors[text] if text in self._vectors else fresh[text] for text in texts]
            self._keep(texts, rows)
        return np.stack(rows) if rows else np.empty((0, self.dim), np.float32)

    def _keep(self, texts: Sequence[str], rows: Sequence[Vectors]) -> None:
        for text, row in zip(texts, rows, strict=True):
            self._vectors[text] = row
            self._vectors.move_to_end(text)
        while len(self._vectors) > self._size:
            self._vectors.popitem(last=False)
