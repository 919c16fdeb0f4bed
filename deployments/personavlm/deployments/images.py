"""Images that clients send: decoded, checked, and only then stored."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass

from PIL import Image, UnidentifiedImageError

from personavlm.deployments.sources import Source, refused, require_size

MEDIA_TYPES = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp"}
MAX_PIXELS = 50_000_000


@dataclass(frozen=True, slots=True)
class CheckedImage:
    """The bytes of an image that a decoder has read through once."""

    data: bytes
    media_type: str
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class ImagePolicy:
    """What is accepted."""

    max_bytes: int
    allow_remote: bool

    async def read(self, url: str, param: str) -> CheckedImage:
        """Decode and check the image behind ``url``. Raises `RequestError` that names ``param``."""
        source = Source("image", "data:image/png;base64,…", self.max_bytes, self.allow_remote)
        return self.check(await source.read(url, param), param)

    def check(self, data: bytes, param: str) -> CheckedImage:
        """Check size, format and that the whole image decodes."""
        require_size("image", len(data), self.max_bytes, param)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", Image.DecompressionBombWarning)
                with Image.open(io.BytesIO(data), formats=tuple(MEDIA_TYPES)) as image:
                    if image.width * image.height > MAX_PIXELS:
                        raise refused(
                            f"the image has {image.width}x{image.height} pixels, at most "
                            f"{MAX_PIXELS:,} are allowed",
                            param,
                            "image_too_large",
                            status=413,
                        )
                    image.load()
                    return CheckedImage(data, MEDIA_TYPES[str(image.format)], image.width, image.height)
        except (
            UnidentifiedImageError,
            OSError,
            ValueError,
            SyntaxError,
            Image.DecompressionBombError,
            Image.DecompressionBombWarning,
        ) as error:
            raise refused(
                "the data is not a complete PNG, JPEG or WebP image", param, "invalid_image"
            ) from error
