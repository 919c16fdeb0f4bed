"""An encoder that remembers: the same words reach it again and again.

A message is encoded ahead of the search that its answer may need, for that search, and once more as a turn
of the past. Only the first time costs anything.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from threading import Lock

import numpy as np

from personavlm.memory_store.encoder import EncodedText, TextEncoder, Vectors, encode_texts, token_dim


class CachedEncoder:
    """A ``TextEncoder`` in front of another, with tokens where that has any. Keeps the last ``size`` texts.

    Threads may share it; while one encodes, others wait, and find what it encoded.
    """

    def __init__(self, encoder: TextEncoder, size: int = 512) -> None:
        self._encoder, self._size = encoder, size
        self._texts: OrderedDict[str, EncodedText] = OrderedDict()
        self._lock = Lock()

    @property
    def model_id(self) -> str:
        """The other encoder's."""
        return self._encoder.model_id

    @property
    def dim(self) -> int:
        """The other encoder's."""
        return self._encoder.dim

    @property
    def token_dim(self) -> int:
        """The other encoder's; 0 where it has no tokens."""
        return token_dim(self._encoder)

    def encode(self, texts: Sequence[str]) -> Vectors:
        """``(len(texts), dim)`` float32 with unit rows."""
        rows = [text.vector for text in self.encode_tokens(texts)]
        return np.stack(rows) if rows else np.empty((0, self.dim), np.float32)

    def encode_tokens(self, texts: Sequence[str]) -> tuple[EncodedText, ...]:
        """Each text with its tokens; without any where the other encoder has none."""
        with self._lock:
            new = [text for text in dict.fromkeys(texts) if text not in self._texts]
            fresh = dict(zip(new, encode_texts(self._encoder, new), strict=True)) if new else {}
            found = tuple(self._texts[text] if text in self._texts else fresh[text] for text in texts)
            self._keep(texts, found)
        return found

    def _keep(self, texts: Sequence[str], found: Sequence[EncodedText]) -> None:
        for text, encoded in zip(texts, found, strict=True):
            self._texts[text] = encoded
            self._texts.move_to_end(text)
        while len(self._texts) > self._size:
            self._texts.popitem(last=False)
