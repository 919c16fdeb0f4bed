"""Things in images: the seam to detectors, and how what they find is cut out.

Boxes are ``(left, top, right, bottom)`` in pixels of the image turned upright, as a viewer shows it.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Protocol

from PIL import Image

from personavlm.platform.encoders.pretrained import upright

Box = tuple[int, int, int, int]

MARGIN = 0.15
"""Share of a box's width and height that is kept around it on each side. The paper's code keeps that share of
the whole image, which is mostly background where the thing is small."""
SMALLEST = 8  # pixels; less of a thing tells nothing


class Detector(Protocol):
    """Finds things in an image by name. ValueError for bytes that are no whole image."""

    def find(self, image: bytes, phrase: str) -> Box | None:
        """Where the thing that the phrase names is most likely; None where it is not seen."""
        ...

    def objects(self, image: bytes) -> Sequence[Box]:
        """Where any things are, the likeliest first; few."""
        ...


def cut(image: bytes, box: Box) -> tuple[bytes, int, int]:
    """The box as PNG, with width and height. The same image and box give the same bytes."""
    part = upright(image).crop(box)
    buffer = io.BytesIO()
    part.save(buffer, "PNG")
    return buffer.getvalue(), part.width, part.height


def framed(box: Sequence[float], image: Image.Image) -> Box | None:
    """A detector's box with its margin, within the image; None where next to nothing is left."""
    left, top, right, bottom = box
    wide, high = MARGIN * (right - left), MARGIN * (bottom - top)
    left, top = max(0, round(left - wide)), max(0, round(top - high))
    right, bottom = min(image.width, round(right + wide)), min(image.height, round(bottom + high))
    if right - left < SMALLEST or bottom - top < SMALLEST:
        return None
    return left, top, right, bottom
