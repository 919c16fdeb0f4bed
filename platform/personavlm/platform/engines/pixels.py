"""From image bytes to pixels of a size that the model takes as they are.

Every engine shrinks images here, before any processor sees them: so the number of image tokens is known from
the picture alone, and is the same in serving and in training.
"""

from __future__ import annotations

import asyncio
import io
import math
from collections.abc import Sequence

from PIL import Image, UnidentifiedImageError

from personavlm.memory_store.records import ImageRef
from personavlm.platform.engines.base import ImageLoader
from personavlm.platform.engines.checkpoint import MIN_IMAGE_TOKENS
from personavlm.platform.errors import EngineError

MAX_RATIO = 200  # what Qwen2.5-VL's own processor refuses beyond


def fitted(width: int, height: int, patch: int, max_pixels: int) -> tuple[int, int]:
    """Width and height in pixels, each a multiple of ``patch``, the product within ``max_pixels``.

    The rule of Qwen2.5-VL's image processor (``smart_resize`` in transformers).
    """
    if max(width, height) > MAX_RATIO * min(width, height):
        raise EngineError(
            f"an image of {width} x {height} pixels is too narrow; its sides may differ {MAX_RATIO} times"
        )
    min_pixels = MIN_IMAGE_TOKENS * patch * patch
    across, down = max(patch, _near(width, patch)), max(patch, _near(height, patch))
    if across * down > max_pixels:
        scale = math.sqrt(width * height / max_pixels)
        across = max(patch, math.floor(width / scale / patch) * patch)
        down = max(patch, math.floor(height / scale / patch) * patch)
    elif across * down < min_pixels:
        scale = math.sqrt(min_pixels / (width * height))
        across = math.ceil(width * scale / patch) * patch
        down = math.ceil(height * scale / patch) * patch
    return across, down


def decode(data: bytes, patch: int, max_pixels: int) -> Image.Image:
    """An RGB picture of a `fitted` size. Raises `EngineError`."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            size = fitted(image.width, image.height, patch, max_pixels)
            return image.convert("RGB").resize(size, Image.Resampling.BICUBIC)
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError) as error:
        raise EngineError(f"a stored image cannot be decoded: {error}") from error


async def pictures(
    refs: Sequence[ImageRef], load: ImageLoader, patch: int, max_pixels: int
) -> list[Image.Image]:
    """The images of a conversation, in order. Raises `EngineError`."""
    data = [await load(ref) for ref in refs]
    return [await asyncio.to_thread(decode, one, patch, max_pixels) for one in data]


def image_tokens(image: Image.Image, patch: int) -> int:
    """How many ids the picture takes in the model."""
    return (image.width // patch) * (image.height // patch)


def _near(edge: int, patch: int) -> int:
    return round(edge / patch) * patch
