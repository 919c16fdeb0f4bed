"""Sections of the configuration about images, videos and recordings."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from personavlm.platform.config_section import Section


class VisionModelConfig(Section):
    """A vision-language model through `transformers` (extra `train`)."""

    kind: Literal["clip", "siglip"]
    model: str = Field(min_length=1)
    """A folder with a checkpoint, of which nothing is fetched, or a name at the model hub."""


class DetectorConfig(Section):
    """What finds a named thing in an image, through `transformers` (extra `train`)."""

    kind: Literal["grounding_dino"]
    model: str = Field(min_length=1)
    """A folder with a checkpoint, of which nothing is fetched, or a name at the model hub."""


class ImagesConfig(Section):
    """How images are taken in, compared and cut."""

    encoder: Literal["builtin"] | VisionModelConfig = "builtin"
    """What compares images: histograms of colour and contour, which need nothing, or CLIP or SigLIP. Another
    one encodes stored images anew, as users come."""
    detector: Literal["none"] | DetectorConfig = "none"
    """What cuts things out of images before they are compared; without one, whole images are."""
    match_threshold: float | None = Field(None, gt=-1, le=1)
    """Cosine from which two images show the same thing; by default the encoder's own, see
    `python -m tests.benchmarks.image_threshold`."""
    max_per_message: int = Field(8, ge=1, le=64)
    """Images in one message or imported turn, frames of videos among them."""
