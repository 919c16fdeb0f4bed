"""Images that clients send: decoded, checked, and only then stored."""

from __future__ import annotations

import base64
import binascii
import io
import re
import warnings
from dataclasses import dataclass

import httpx
from PIL import Image, UnidentifiedImageError

from personavlm.platform.errors import RequestError

MEDIA_TYPES = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp"}
MAX_PIXELS = 50_000_000
_DATA_URL = re.compile(r"data:([a-z]+/[a-z0-9.+-]+)?((?:;[^,;]+)*),", re.IGNORECASE)


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
        if url[:5].lower() == "data:":
            return self.check(self._decode(url, param), param)
        if url[:8].lower().startswith(("http://", "https://")):
            return self.check(await self._fetch(url, param), param)
        raise _refuse("send the image as a data URL (data:image/png;base64,…)", param, "invalid_image_url")

    def check(self, data: bytes, param: str) -> CheckedImage:
        """Check size, format and that the whole image decodes."""
        if len(data) > self.max_bytes:
            limit = f"{self.max_bytes / 2**20:g} MB"
            raise _refuse(
                f"the image has {len(data) / 2**20:.1f} MB, at most {limit} are allowed; scale it down",
                param,
                "image_too_large",
                status=413,
            )
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", Image.DecompressionBombWarning)
                with Image.open(io.BytesIO(data), formats=tuple(MEDIA_TYPES)) as image:
                    if image.width * image.height > MAX_PIXELS:
                        raise _refuse(
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
            raise _refuse(
                "the data is not a complete PNG, JPEG or WebP image", param, "invalid_image"
            ) from error

    def _decode(self, url: str, param: str) -> bytes:
        head = _DATA_URL.match(url)
        if not head or not head[2].lower().endswith(";base64"):
            raise _refuse("the data URL must look like data:image/png;base64,…", param, "invalid_image_url")
        if (len(url) - head.end()) * 3 // 4 > self.max_bytes + 3:
            return bytes(self.max_bytes + 1)  # too large whatever it holds: `check` says so
        try:
            return base64.b64decode(url[head.end() :], validate=True)
        except binascii.Error as error:
            raise _refuse("the data URL is not valid base64", param, "invalid_image_url") from error

    async def _fetch(self, url: str, param: str) -> bytes:
        if not self.allow_remote:
            raise _refuse(
                "remote image URLs are not fetched by this service; send a data URL",
                param,
                "remote_image_refused",
            )
        data = bytearray()
        try:
            async with httpx.AsyncClient(timeout=10) as client, client.stream("GET", url) as response:
                response.raise_for_status()
                async for piece in response.aiter_bytes():
                    data += piece
                    if len(data) > self.max_bytes:
                        break
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise _refuse(f"the image could not be fetched: {error}", param, "image_unreachable") from error
        return bytes(data)


def _refuse(message: str, param: str, code: str, status: int = 400) -> RequestError:
    return RequestError(message, status=status, param=param, code=code)
