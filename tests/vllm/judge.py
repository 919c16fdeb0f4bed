"""Recompute what an engine sampled, with transformers and nothing of ours."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor

from personavlm.memory_store.records import ImageRef
from personavlm.platform.engines.base import Conversation

PIXELS: dict[str, bytes] = {}


def picture(colour: str, width: int = 120, height: int = 90) -> ImageRef:
    """A reference to a picture of one colour, which `load` can load."""
    data = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(data, "PNG")
    sha256 = hashlib.sha256(data.getvalue()).hexdigest()
    PIXELS[sha256] = data.getvalue()
    return ImageRef(sha256, "image/png", width, height)


async def load(ref: ImageRef) -> bytes:
    return PIXELS[ref.sha256]


class Judge:
    """A checkpoint in transformers, float32."""

    def __init__(self, checkpoint: Path, adapter: Path | None = None) -> None:
        self.model: Any = AutoModelForImageTextToText.from_pretrained(checkpoint, dtype=torch.float32).eval()
        self.processor: Any = AutoProcessor.from_pretrained(checkpoint)
        if adapter:
            from peft import PeftModel

            self.model = PeftModel.from_pretrained(self.model, adapter)

    def worst(self, conversation: Conversation, banned: tuple[int, ...], temperature: float = 1.0) -> float:
        """The largest difference of log-probabilities over everything sampled in the conversation."""
        ids, sampled = self._expanded(conversation)
        logits = self._logits(ids, conversation) / temperature
        logits[:, list(banned)] = -torch.inf
        logprobs = torch.log_softmax(logits, dim=-1)
        return max(abs(logprobs[at - 1, ids[at]].item() - logprob) for at, logprob in sampled)

    @torch.no_grad()
    def _logits(self, ids: list[int], conversation: Conversation) -> torch.Tensor:
        inputs: dict[str, Any] = {"input_ids": torch.tensor([ids])}
        pad = self.processor.tokenizer.convert_tokens_to_ids("<|image_pad|>")
        inputs["mm_token_type_ids"] = (inputs["input_ids"] == pad).long()
        if conversation.images:
            inputs |= dict(self._pixels(conversation))
        logits: torch.Tensor = self.model(**inputs).logits[0]
        return logits

    def _pixels(self, conversation: Conversation) -> Any:  # noqa: ANN401 - what the library returns
        images = [Image.open(io.BytesIO(PIXELS[ref.sha256])).convert("RGB") for ref in conversation.images]
        size = {"shortest_edge": 4 * 28 * 28, "longest_edge": 230_400}
        return self.processor.image_processor(images=images, size=size, return_tensors="pt")

    def _expanded(self, conversation: Conversation) -> tuple[list[int], list[tuple[int, float]]]:
        """All ids with each image's places, and position and log-probability of the sampled ones."""
        pad = self.processor.tokenizer.convert_tokens_to_ids("<|image_pad|>")
        grids = self._pixels(conversation)["image_grid_thw"].prod(-1) // 4 if conversation.images else []
        places = iter(int(one) for one in grids)
        ids: list[int] = []
        sampled: list[tuple[int, float]] = []
        for span in conversation.tokens:
            for i, token in enumerate(span.ids):
                if span.sampled:
                    sampled.append((len(ids), span.logprobs[i]))
                ids += [pad] * next(places) if token == pad else [token]
        return ids, sampled
