"""The image encoder that the store gets: the configured model, what it looks at, what it remembers."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from threading import Lock

import numpy as np

from personavlm.memory_store.encoder import ImageEncoder, Vectors
from personavlm.platform.encoders.crops import Detector, cut

KEPT = 256  # images whose vectors are remembered: one message's image is asked for at each of its searches


class ImageMatcher:
    """An ``ImageEncoder`` in front of another, with a threshold of its own if one is given.

    With a detector a query's image is looked at whole and by the things in it, since stored concepts are
    crops. Threads may share it; while one encodes, others wait, and find what it encoded.
    """

    def __init__(
        self, encoder: ImageEncoder, detector: Detector | None = None, threshold: float | None = None
    ) -> None:
        self._encoder, self._detector = encoder, detector
        self._threshold = encoder.threshold if threshold is None else threshold
        self._images: OrderedDict[str, Vectors] = OrderedDict()
        self._queries: OrderedDict[str, Vectors] = OrderedDict()
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
    def threshold(self) -> float:
        """Cosine from which two images are taken to show the same thing."""
        return self._threshold

    def encode(self, images: Sequence[bytes]) -> Vectors:
        """``(len(images), dim)`` float32 with unit rows. ValueError for bytes that are no whole image."""
        keys = [hashlib.sha256(image).hexdigest() for image in images]
        with self._lock:
            new = {key: image for key, image in zip(keys, images, strict=True) if key not in self._images}
            fresh = dict(zip(new, self._encoder.encode(list(new.values())), strict=True)) if new else {}
            rows = [fresh[key] if key in fresh else self._images[key] for key in keys]
            _keep(self._images, dict(zip(keys, rows, strict=True)))
        return np.stack(rows) if rows else np.empty((0, self.dim), np.float32)

    def encode_query(self, image: bytes) -> Vectors:
        """``(n, dim)``: the image, then each thing that the detector sees in it. ValueError as above."""
        if self._detector is None:
            return self.encode([image])
        key = hashlib.sha256(image).hexdigest()
        with self._lock:
            found = self._queries.get(key)
            if found is None:
                things = [cut(image, box)[0] for box in self._detector.objects(image)]
                found = self._encoder.encode([image, *things])
            _keep(self._queries, {key: found})
        return found


def _keep(known: OrderedDict[str, Vectors], found: Mapping[str, Vectors]) -> None:
    for key, vectors in found.items():
        known[key] = vectors
        known.move_to_end(key)
    while len(known) > KEPT:
        known.popitem(last=False)
