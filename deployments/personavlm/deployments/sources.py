"""Where the bytes of images, videos and recordings come from: data URLs, and by permission the network."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass

import httpx

from personavlm.platform.errors import RequestError

_DATA_URL = re.compile(r"data:([a-z]+/[a-z0-9.+-]+)?((?:;[^,;]+)*),", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Source:
    """What may be read. ``kind`` ("image") and ``example`` (of a data URL) stand in what a client is told."""

    kind: str
    example: str
    max_bytes: int
    allow_remote: bool

    async def read(self, url: str, param: str) -> bytes:
        """The bytes behind ``url``, a little more than ``max_bytes`` of them at most. `RequestError`."""
        if url[:5].lower() == "data:":
            return self._decode(url, param)
        if url[:8].lower().startswith(("http://", "https://")):
            return await self._fetch(url, param)
        raise refused(
            f"send the {self.kind} as a data URL ({self.example})", param, f"invalid_{self.kind}_url"
        )

    def _decode(self, url: str, param: str) -> bytes:
        head = _DATA_URL.match(url)
        if not head or not head[2].lower().endswith(";base64"):
            message = f"the data URL must look like {self.example}"
            raise refused(message, param, f"invalid_{self.kind}_url")
        return decoded(url[head.end() :], self.max_bytes, param, f"invalid_{self.kind}_url")

    async def _fetch(self, url: str, param: str) -> bytes:
        if not self.allow_remote:
            raise refused(
                f"remote {self.kind} URLs are not fetched by this service; send a data URL",
                param,
                f"remote_{self.kind}_refused",
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
            message = f"the {self.kind} could not be fetched: {error}"
            raise refused(message, param, f"{self.kind}_unreachable") from error
        return bytes(data)


def decoded(text: str, max_bytes: int, param: str, code: str) -> bytes:
    """Base64 as bytes. What is too large whatever it holds comes back as too many zeros, undecoded."""
    if len(text) * 3 // 4 > max_bytes + 3:
        return bytes(max_bytes + 1)
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:  # ValueError for what is not ASCII
        raise refused("the data is not valid base64", param, code) from error


def require_size(kind: str, size: int, max_bytes: int, param: str) -> None:
    """Raise 413 for more than ``max_bytes``."""
    if size > max_bytes:
        raise refused(
            f"the {kind} has more than {max_bytes / 2**20:g} MB; make it smaller",
            param,
            f"{kind}_too_large",
            status=413,
        )


def refused(message: str, param: str, code: str, status: int = 400) -> RequestError:
    """What a client is told."""
    return RequestError(message, status=status, param=param, code=code)
