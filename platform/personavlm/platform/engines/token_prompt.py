"""What a token engine needs to continue a conversation, checked before any model sees it."""

from __future__ import annotations

from dataclasses import dataclass

from PIL.Image import Image

from personavlm.platform.engine_config import LocalModelConfig
from personavlm.platform.engines.base import Conversation, Sampling, TokenSpan
from personavlm.platform.engines.chatml import ChatMl
from personavlm.platform.engines.checkpoint import Checkpoint
from personavlm.platform.engines.pixels import image_tokens, pictures
from personavlm.platform.errors import ContextOverflow, EngineError

SHORTEST_REPLY = 256
"""Tokens; a reply that asks for fewer needs only those."""


@dataclass(frozen=True, slots=True)
class TokenPrompt:
    """Ids with one ``<|image_pad|>`` for each of ``images``.

    ``rendered`` is the end of ``ids`` that is new. ``length`` counts the tokens that images really take.
    ``max_tokens`` is what the context leaves for the reply.
    """

    ids: tuple[int, ...]
    images: list[Image]
    rendered: TokenSpan
    length: int
    max_tokens: int

    @classmethod
    async def of(
        cls, conversation: Conversation, sampling: Sampling, checkpoint: Checkpoint, config: LocalModelConfig
    ) -> TokenPrompt:
        """Render, decode and count. Raises `ContextOverflow` or `EngineError`; changes nothing."""
        refs, patch = conversation.images, checkpoint.patch_pixels
        if len(refs) > config.max_images:
            raise EngineError(
                f"{len(refs)} images in one conversation; engine.max_images is {config.max_images}"
            )
        rendered = ChatMl(checkpoint).continuation(conversation)
        ids = (*conversation.ids, *rendered.ids)
        if ids.count(checkpoint.special["<|image_pad|>"]) != len(refs):
            raise EngineError("the conversation's images do not match the places for them")
        images = await pictures(refs, conversation.load_image, patch, config.max_pixels)
        length = len(ids) + sum(image_tokens(image, patch) - 1 for image in images)
        left = config.context_tokens - length - sampling.reserve
        excess = min(SHORTEST_REPLY, sampling.max_tokens) - left
        if excess > 0:
            raise ContextOverflow(
                f"after {length} tokens no reply fits; engine.context_tokens is {config.context_tokens}",
                excess,
            )
        return cls(ids, images, rendered, length, min(sampling.max_tokens, left))
