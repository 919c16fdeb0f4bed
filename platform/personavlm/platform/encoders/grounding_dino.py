"""Grounding DINO through transformers: finds in an image what a phrase names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from personavlm.platform.encoders.crops import Box, framed
from personavlm.platform.encoders.pretrained import DETECTOR, load_pretrained, upright

NAMED, ANYTHING = 0.1, 0.2
"""Confidences from which a box counts: of a thing that was named, of any thing in a query's image. Both are
those of the paper's code."""
ANY_THING = "object"
MOST_THINGS = 3
PHRASE_CHARS = 200  # the model's text side takes 256 tokens


class GroundingDino:
    """A ``Detector``. Raises `WeightsError` when made where the model cannot be loaded."""

    def __init__(self, model: str) -> None:
        self._processor, self._model = load_pretrained(DETECTOR, model, _load)

    def find(self, image: bytes, phrase: str) -> Box | None:
        """The likeliest box, None below a confidence of 0.1. ValueError for bytes that are no whole image."""
        return next(iter(self._boxes(image, phrase, NAMED)), None)

    def objects(self, image: bytes) -> Sequence[Box]:
        """At most three boxes of a confidence of 0.2, the likeliest first. ValueError as above."""
        return self._boxes(image, ANY_THING, ANYTHING)[:MOST_THINGS]

    def _boxes(self, image: bytes, phrase: str, confidence: float) -> list[Box]:
        import torch

        picture = upright(image)
        inputs = self._processor(images=picture, text=_prompt(phrase), return_tensors="pt")
        with torch.inference_mode():
            outputs = self._model(**inputs)
        size = [(picture.height, picture.width)]
        (found,) = self._processor.post_process_grounded_object_detection(
            outputs, inputs["input_ids"], threshold=confidence, text_threshold=confidence, target_sizes=size
        )
        order = found["scores"].argsort(descending=True, stable=True)
        boxes = (framed(box, picture) for box in found["boxes"][order].tolist())
        return [box for box in boxes if box]


def _prompt(phrase: str) -> str:
    """As the model was trained on: lower case, one phrase, a full stop at its end."""
    plain = re.sub(r"[^\w\s'-]+", " ", phrase.lower())
    return f"{' '.join(plain.split())[:PHRASE_CHARS].strip() or ANY_THING}."


def _load(name: str, local_only: bool) -> tuple[Any, Any]:
    from transformers import AutoModelForZeroShotObjectDetection, AutoProcessor

    processor = AutoProcessor.from_pretrained(name, local_files_only=local_only)
    model = AutoModelForZeroShotObjectDetection.from_pretrained(name, local_files_only=local_only)
    return processor, model.eval()
