"""The media of the users that an actor is home to: bytes come in once, and go out by reference."""

from __future__ import annotations

import asyncio

from personavlm.memory_store import ImageRef, MediaRef, UserKey
from personavlm.memory_store.stores import Stores


class Media:
    """The media side of a memory actor."""

    _stores: Stores

    async def put_image(
        self, user: UserKey, data: bytes, media_type: str, width: int, height: int, caption: str = ""
    ) -> ImageRef:
        """Store an image that was checked."""
        store = self._stores.of(user)
        return await asyncio.to_thread(store.put_image, user, data, media_type, width, height, caption)

    async def put_recording(self, user: UserKey, data: bytes, media_type: str, seconds: float) -> MediaRef:
        """Store a video or a recording that was checked."""
        return await asyncio.to_thread(self._stores.of(user).put_recording, user, data, media_type, seconds)

    async def image(self, user: UserKey, sha256: str) -> bytes:
        """The bytes of an image, for an engine."""
        return await asyncio.to_thread(self._stores.of(user).image, user, sha256)

    async def media(self, user: UserKey, sha256: str) -> tuple[bytes, str]:
        """The bytes of an image, a video or a recording and their media type, for HTTP."""
        return await asyncio.to_thread(self._stores.of(user).media, user, sha256)
