"""The seam to encoders: the store ranks by vectors but knows no model."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class EncodedText:
    """A text as one pass of a model gives it.

    ``vector`` ``(dim,)`` is its unit vector. ``ids`` ``(n,)`` int32 and ``tokens`` ``(n, token_dim)``
    float32 unit rows are its tokens in their context, marks that the model adds itself left out;
    ``sentences`` ``(s,)`` int32 are the tokens at which sentences begin, ascending from 0. Without
    token vectors the three are empty.
    """

    vector: Vectors
    ids: NDArray[np.int32]
    tokens: Vectors
    sentences: NDArray[np.int32]


class TextEncoder(Protocol):
    """Maps texts to unit vectors. ``model_id`` is stored with every vector."""

    @property
    def model_id(self) -> str: ...

    @property
    def dim(self) -> int: ...

    def encode(self, texts: Sequence[str]) -> Vectors:
        """``(len(texts), dim)`` float32 with unit rows; an empty text gives a valid unit vector too."""
        ...


@runtime_checkable
class TokenEncoder(Protocol):
    """A ``TextEncoder`` that gives a vector for each token as well. Signals by tokens are off without."""

    @property
    def token_dim(self) -> int:
        """How many numbers a token's vector has; 0 where the model behind gives none."""
        ...

    def encode_tokens(self, texts: Sequence[str]) -> Sequence[EncodedText]:
        """Each text with its tokens. ``vector`` is what ``encode`` gives."""
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


@runtime_checkable
class QueryImageEncoder(Protocol):
    """An ``ImageEncoder`` that looks at more than the whole of a query's image."""

    def encode_query(self, image: bytes) -> Vectors:
        """``(n, dim)`` float32 with unit rows, n at least 1: the image, and things found in it."""
        ...


def encode_query_image(encoder: ImageEncoder, image: bytes) -> Vectors:
    """``(n, dim)``: what of a query's image is held against stored ones."""
    return encoder.encode_query(image) if isinstance(encoder, QueryImageEncoder) else encoder.encode([image])


def token_dim(encoder: TextEncoder | ImageEncoder) -> int:
    """Numbers in a token's vector; 0 for an encoder that has no tokens."""
    return encoder.token_dim if isinstance(encoder, TokenEncoder) else 0


def encode_texts(encoder: TextEncoder, texts: Sequence[str]) -> Sequence[EncodedText]:
    """Each text with its tokens, where the encoder has any."""
    if isinstance(encoder, TokenEncoder) and encoder.token_dim:
        return encoder.encode_tokens(texts)
    return [without_tokens(vector) for vector in encoder.encode(texts)]


def without_tokens(vector: Vectors, token_dim: int = 0) -> EncodedText:
    """A vector alone."""
    none = np.empty(0, np.int32)
    return EncodedText(vector, none, np.empty((0, token_dim), np.float32), none)
