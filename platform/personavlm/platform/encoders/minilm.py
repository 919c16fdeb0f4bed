"""all-MiniLM-L6-v2 through ONNX Runtime in fp32: the text encoder of the default install.

Gives the vectors that sentence-transformers gives (to 1e-6) without PyTorch. Never quantised: dynamic
int8 gives the same text another vector in another batch, so its vectors cannot be stored.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from platformdirs import user_cache_path
from tokenizers import Tokenizer

from personavlm.platform.encoders.minilm_weights import WEIGHTS_SHA256, cached_graph, model_folder

if TYPE_CHECKING:  # the store's package loads LanceDB, which takes longer than all else here
    from personavlm.memory_store.encoder import EncodedText, Vectors

DIM = 384

MAX_TOKENS = 256
"""Tokens of a text that are read, with [CLS] and [SEP]; the rest is cut off."""

BATCH_TOKENS = 1024
"""Most tokens in one pass, padding counted: more is no faster on a CPU and takes more memory."""


SENTENCE_ENDS = (".", "!", "?", "\u3002", "\uff01", "\uff1f")
"""Tokens after which another sentence begins."""

PROJECTION = Path(__file__).with_name("minilm_tokens.npy")
"""Directions ``(dim, token_dim)`` in which token vectors differ most. ``fit_token_projection`` makes it;
with another one ``model_id`` has to change, since stored tokens compare with no others."""


class MiniLmEncoder:
    """A ``TextEncoder``. Safe to share between threads; each call works in the thread that makes it.

    ``cache`` is where the ONNX graph is kept (default: the user's cache folder); ``threads`` is how many
    a single pass may use. WeightsError if the weights' package is absent or not the one pinned.
    """

    def __init__(self, cache: Path | None = None, threads: int = 1) -> None:
        folder = model_folder()
        graph = cached_graph(
            folder / "model.safetensors", cache or user_cache_path("personavlm") / "encoders"
        )
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.enable_truncation(MAX_TOKENS)
        self._tokenizer.no_padding()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._projection: Vectors = np.load(PROJECTION).astype(np.float32)
        ends = (self._tokenizer.token_to_id(mark) for mark in SENTENCE_ENDS)
        self._sentence_ends = [id for id in ends if id is not None]
        self._session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])

    @property
    def model_id(self) -> str:
        """Name of the model with the start of its weights' checksum."""
        return f"all-MiniLM-L6-v2@{WEIGHTS_SHA256[:12]}"

    @property
    def dim(self) -> int:
        """384."""
        return DIM

    def encode(self, texts: Sequence[str]) -> Vectors:
        """``(len(texts), 384)`` float32 with unit rows: the normalised mean of each text's tokens."""
        pooled = np.empty((len(texts), DIM), np.float32)
        for position, _, vectors in self._passes(texts):
            pooled[position] = vectors.mean(axis=0)
        return np.asarray(pooled / np.linalg.norm(pooled, axis=1, keepdims=True), np.float32)

    @property
    def token_dim(self) -> int:
        """How many numbers are kept of a token's vector."""
        return int(self._projection.shape[1])

    def encode_tokens(self, texts: Sequence[str]) -> tuple[EncodedText, ...]:
        """Each text with its tokens, [CLS] and [SEP] left out."""
        found = {position: self._encoded(ids, vectors) for position, ids, vectors in self._passes(texts)}
        return tuple(found[position] for position in range(len(texts)))

    def _encoded(self, ids: NDArray[np.int64], vectors: Vectors) -> EncodedText:
        from personavlm.memory_store.encoder import EncodedText

        ids = ids[1:-1]
        ended = np.isin(ids[:-1], self._sentence_ends) & ~np.isin(ids[1:], self._sentence_ends)
        starts = np.concatenate(([0], np.flatnonzero(ended) + 1)) if ids.size else np.empty(0)
        tokens = np.vecdot(vectors[1:-1, np.newaxis], self._projection.T)
        tokens /= np.linalg.norm(tokens, axis=1, keepdims=True)
        pooled = vectors.mean(axis=0)
        return EncodedText(
            pooled / np.linalg.norm(pooled), ids.astype(np.int32), tokens, starts.astype(np.int32)
        )

    def token_moments(self, texts: Sequence[str]) -> tuple[Vectors, int]:
        """``(dim, dim)``: the products of all tokens' unit vectors with themselves, added up; how many."""
        total, count = np.zeros((DIM, DIM), np.float32), 0
        for _, _, vectors in self._passes(texts):
            unit = vectors[1:-1] / np.linalg.norm(vectors[1:-1], axis=1, keepdims=True)
            total, count = total + unit.T @ unit, count + len(unit)
        return total, count

    def _passes(self, texts: Sequence[str]) -> Iterator[tuple[int, NDArray[np.int64], Vectors]]:
        """``(position in texts, token ids (n,), token vectors (n, dim))``, texts of like length together,
        shortest first. [CLS] and [SEP] are among the tokens; their vectors are not normalised."""
        encoded = [np.array(one.ids, np.int64) for one in self._tokenizer.encode_batch(list(texts))]
        for batch in _batches([ids.size for ids in encoded]):
            longest = encoded[batch[-1]].size
            ids = np.zeros((len(batch), longest), np.int64)
            mask = np.zeros((len(batch), longest), np.int64)
            for row, position in enumerate(batch):
                ids[row, : encoded[position].size] = encoded[position]
                mask[row, : encoded[position].size] = 1
            (vectors,) = self._session.run(None, {"input_ids": ids, "attention_mask": mask})
            for row, position in enumerate(batch):
                yield position, encoded[position], vectors[row, : encoded[position].size]


def _batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Positions grouped by length, ascending, each group within the token budget or a single text."""
    batch: list[int] = []
    for position in sorted(range(len(lengths)), key=lengths.__getitem__):
        if batch and lengths[position] * (len(batch) + 1) > BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(position)
    if batch:
        yield batch
