"""Sections of the configuration about images, videos and recordings."""

from __future__ import annotations

import os
from typing import Annotated, Literal

from pydantic import Field, SecretStr

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
    max_per_message: int = Field(16, ge=1, le=64)
    """Images in one message or imported turn, frames of videos among them."""


class VideoConfig(Section):
    """Videos, of which frames are kept as images of the turn (extra `video`)."""

    frames: int = Field(4, ge=1, le=64)
    """Frames of one video, spread evenly over it."""


class NoTranscriberConfig(Section):
    """Recordings are refused."""

    kind: Literal["none"] = "none"


class OpenAiTranscriberConfig(Section):
    """Any server with OpenAI's endpoint for transcriptions."""

    kind: Literal["openai"]
    base_url: str
    """For example http://localhost:8002/v1."""
    model: str
    api_key_env: str = "OPENAI_API_KEY"
    """Environment variable that holds the server's key; it may be unset where the server wants none."""
    timeout_s: float = Field(60, gt=0)
    """Longest wait for one recording."""

    def api_key(self) -> SecretStr:
        """The key from the environment; empty where the variable is unset."""
        return SecretStr(os.environ.get(self.api_key_env, ""))


AudioConfig = Annotated[NoTranscriberConfig | OpenAiTranscriberConfig, Field(discriminator="kind")]
