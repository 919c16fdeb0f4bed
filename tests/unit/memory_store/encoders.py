"""Encoders for tests: real ones, only simple. A word, or a byte pattern, has a fixed random direction."""

import zlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from personavlm.memory_store import MemoryStore, Vectors
from personavlm.memory_store.encoder import EncodedText
from personavlm.memory_store.retrieval.lexical import terms
from personavlm.memory_store.storage.settings import StorageSettings
from tests.unit.memory_store.places import place, stored


@cache
def direction(word: str, dim: int) -> Vectors:
    return np.random.default_rng(zlib.crc32(word.encode())).normal(size=dim).astype(np.float32)


class WordEncoder:
    """A text is the sum of its words' directions and of one that all texts share."""

    def __init__(self, dim: int = 64) -> None:
        self.model_id, self.dim = f"words-{dim}", dim
        self.encoded: list[str] = []

    def encode(self, texts: Sequence[str]) -> Vectors:
        self.encoded.extend(texts)
        sums = [sum((direction(word, self.dim) for word in terms(t)), direction("", self.dim)) for t in texts]
        vectors = np.array(sums, np.float32).reshape(len(texts), self.dim)
        return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)

    @property
    def token_dim(self) -> int:
        return self.dim

    def encode_tokens(self, texts: Sequence[str]) -> list[EncodedText]:
        return [
            encoded_words(vector, terms(text)) for text, vector in zip(texts, self.encode(texts), strict=True)
        ]


def encoded_words(vector: Vectors, words: Sequence[str]) -> EncodedText:
    """Each word is a token, all of them are one sentence."""
    dim = len(vector)
    rows = np.array([direction(word, dim) for word in words], np.float32).reshape(len(words), dim)
    ids = np.array([zlib.crc32(word.encode()) & 0x7FFFFFFF for word in words], np.int32)
    unit = np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)
    return EncodedText(vector, ids, unit, np.zeros(min(len(words), 1), np.int32))


class ByteEncoder:
    """Images are alike as far as they have the same bytes in the same numbers."""

    model_id, dim, threshold = "bytes", 256, 0.9

    def encode(self, images: Sequence[bytes]) -> Vectors:
        counts = [np.bincount(np.frombuffer(image, np.uint8), minlength=256) for image in images]
        vectors = np.array(counts, np.float32).reshape(len(images), self.dim)
        return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


_open: dict[Path, MemoryStore] = {}


def open_store(folder: Path, text_encoder: WordEncoder | None = None, **settings: Any) -> MemoryStore:  # noqa: ANN401
    """The store in a folder, opened anew: one that is open there is closed first."""
    close_stores(folder)
    _open[folder] = MemoryStore.open(
        place(folder),
        text_encoder=text_encoder or WordEncoder(),
        image_encoder=ByteEncoder(),
        **{**settings, "storage": stored(settings.get("storage", StorageSettings()))},
    )
    return _open[folder]


def close_stores(*folders: Path) -> None:
    """Close what ``open_store`` opened, in these folders or in all."""
    for folder in folders or tuple(_open):
        if folder in _open:
            _open.pop(folder).close()
