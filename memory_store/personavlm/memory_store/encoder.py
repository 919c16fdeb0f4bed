"""The seam to encoders: the store ranks by vectors but knows no model."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]


class TextEncoder(Protocol):
    """Maps texts to unit vectors. ``model_id`` is stored with every vector."""

    @property
    def model_id(self) -> str: ...

    @property
    def dim(self) -> int: ...

    def encode(self, texts: Sequence[str]) -> Vectors:
        """``(len(texts), dim)`` float32 with unit rows; an empty text gives a valid unit vector too."""
        ...


class ImageEncoder(Protocol):
    """Maps encoded images (PNG, JPEG or WebP bytes) to unit vectors."""

    @property
    def model_id(self) -> str: ...

    @property
    def dim(self) -> int: ...

    @property
    def threshold(self) -> float:
        """Cosine from which two images are taken to show the same thing."""
        ...

    def encode(self, images: Sequence[bytes]) -> Vectors:
        """``(len(images), dim)`` float32 with unit rows."""
        ...
