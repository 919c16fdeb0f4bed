"""CLIP and SigLIP through transformers: images as unit vectors that know what things are.

Vectors are those of the joint space of images and texts (``get_image_features``), scaled to length 1.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from personavlm.memory_store.encoder import Vectors
from personavlm.platform.encoders.pretrained import ENCODER, load_pretrained, upright
from personavlm.platform.errors import WeightsError

TYPES = {"clip": ("clip",), "siglip": ("siglip", "siglip2")}
"""Types of model in a checkpoint's configuration, by kind."""

BATCH = 16  # images at once: bounds what the activations take

THRESHOLDS = {"clip": 0.85, "siglip": 0.85}
"""Cosines from which two images are taken to show the same thing. Not fitted, since
checkpoints differ: `python -m tests.benchmarks.image_threshold` fits one for `images.match_threshold`."""


class ClipEncoder:
    """An ``ImageEncoder``. Raises `WeightsError` when made where the model cannot be loaded.

    ``model_id`` names the checkpoint and a digest of its weights, so that vectors of a fine-tune that lies in
    the same folder are told from the old ones.
    """

    def __init__(self, kind: Literal["clip", "siglip"], model: str) -> None:
        self._processor, self._model = load_pretrained(ENCODER, model, _load)
        found = str(self._model.config.model_type)
        if found not in TYPES[kind]:
            raise WeightsError(f"{ENCODER}: {model} holds a model of type {found!r}, not {kind!r}")
        self._kind = kind
        self._model_id = f"{Path(model).name if Path(model).is_dir() else model}@{self._digest()}"
        self._dim = len(self._features([Image.new("RGB", (32, 32))])[0])

    @property
    def model_id(self) -> str:
        """Name, and a digest of the weights."""
        return self._model_id

    @property
    def dim(self) -> int:
        """Size of the model's joint space."""
        return self._dim

    @property
    def threshold(self) -> float:
        """Cosine from which two images are taken to show the same thing."""
        return THRESHOLDS[self._kind]

    def encode(self, images: Sequence[bytes]) -> Vectors:
        """``(len(images), dim)`` float32 with unit rows. ValueError for bytes that are no whole image."""
        vectors = [np.empty((0, self._dim), np.float32)]
        for first in range(0, len(images), BATCH):
            vectors.append(self._features([upright(data) for data in images[first : first + BATCH]]))
        return np.concatenate(vectors)

    def _features(self, images: Sequence[Image.Image]) -> Vectors:
        import torch

        inputs = self._processor(images=list(images), return_tensors="pt")
        with torch.inference_mode():
            output = self._model.get_image_features(**inputs)
        features: Vectors = output.pooler_output.float().numpy()
        return np.asarray(features / np.linalg.norm(features, axis=1, keepdims=True), np.float32)

    def _digest(self) -> str:
        """Of some numbers of every tensor: any training changes them, and a large model is read quickly."""
        digest = hashlib.sha256()
        for name, tensor in self._model.state_dict().items():
            digest.update(name.encode() + _sample(tensor))
        return digest.hexdigest()[:12]


def _load(name: str, local_only: bool) -> tuple[Any, Any]:
    from transformers import AutoImageProcessor, AutoModel

    processor = AutoImageProcessor.from_pretrained(name, local_files_only=local_only)
    return processor, AutoModel.from_pretrained(name, local_files_only=local_only).eval()


def _sample(tensor: Any) -> bytes:  # noqa: ANN401 - torch has no types where it is not installed
    sample: bytes = tensor.flatten()[:64].float().numpy().tobytes()
    return sample
