"""An encoder that remembers in the user's cache folder what it encoded: a fit is run many times."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from platformdirs import user_cache_path

from personavlm.memory_store.encoder import EncodedText, Vectors
from personavlm.platform.encoders.minilm import MiniLmEncoder


class RememberingEncoder:
    """A ``TextEncoder`` with tokens. Each call's texts are one file, half precision."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder or user_cache_path("personavlm") / "planted"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._encoder = MiniLmEncoder()

    @property
    def model_id(self) -> str:
        """The encoder's own."""
        return self._encoder.model_id

    @property
    def dim(self) -> int:
        """The encoder's own."""
        return self._encoder.dim

    @property
    def token_dim(self) -> int:
        """The encoder's own."""
        return self._encoder.token_dim

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors ``(len(texts), dim)``."""
        return np.stack([text.vector for text in self.encode_tokens(texts)])

    def encode_tokens(self, texts: Sequence[str]) -> Sequence[EncodedText]:
        """Each text with its tokens."""
        if not texts:
            return ()
        content = "\0".join((self.model_id, str(self.token_dim), *texts))
        file = self._folder / f"{hashlib.sha256(content.encode()).hexdigest()[:24]}.npz"
        if not file.exists():
            _save(file, self._encoder.encode_tokens(texts))
        return _load(file)


def _save(file: Path, texts: Sequence[EncodedText]) -> None:
    unfinished = file.with_name(f"{os.getpid()}-{file.name}")
    np.savez(
        unfinished,
        vectors=np.stack([text.vector for text in texts]).astype(np.float16),
        ids=np.concatenate([text.ids for text in texts]),
        tokens=np.concatenate([text.tokens for text in texts]).astype(np.float16),
        sentences=np.concatenate([text.sentences for text in texts]),
        token_counts=np.array([len(text.ids) for text in texts]),
        sentence_counts=np.array([len(text.sentences) for text in texts]),
    )
    unfinished.replace(file)


def _load(file: Path) -> list[EncodedText]:
    with np.load(file) as stored:
        tokens = np.cumsum(stored["token_counts"])[:-1]
        sentences = np.cumsum(stored["sentence_counts"])[:-1]
        parts = zip(
            _unit(stored["vectors"]),
            np.split(stored["ids"], tokens),
            np.split(_unit(stored["tokens"]), tokens),
            np.split(stored["sentences"], sentences),
            strict=True,
        )
        return [EncodedText(*part) for part in parts]


def _unit(rows: Vectors) -> Vectors:
    wide = rows.astype(np.float32)
    return wide / np.maximum(np.linalg.norm(wide, axis=1, keepdims=True), 1e-9)
