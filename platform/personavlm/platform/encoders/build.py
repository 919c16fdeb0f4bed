"""From the configuration to the image encoder and the detector. What needs torch is imported where chosen."""

from __future__ import annotations

from personavlm.memory_store.encoder import ImageEncoder
from personavlm.platform.encoders.crops import Detector
from personavlm.platform.encoders.image_descriptor import ImageDescriptor
from personavlm.platform.encoders.image_matcher import ImageMatcher
from personavlm.platform.encoders.pretrained import DETECTOR, ENCODER, require_model
from personavlm.platform.media_config import ImagesConfig


def build_matcher(config: ImagesConfig, detector: Detector | None = None) -> ImageMatcher:
    """What compares images. Raises `WeightsError` where its model cannot be loaded."""
    return ImageMatcher(_encoder(config), detector, config.match_threshold)


def build_detector(config: ImagesConfig) -> Detector | None:
    """What finds things in images, if anything. Raises `WeightsError` where its model cannot be loaded."""
    if config.detector == "none":
        return None
    from personavlm.platform.encoders.grounding_dino import GroundingDino

    return GroundingDino(config.detector.model)


def check_images(config: ImagesConfig) -> None:
    """Raise `WeightsError` where an extra or a folder is missing, without loading anything."""
    if config.encoder != "builtin":
        require_model(ENCODER, config.encoder.model)
    if config.detector != "none":
        require_model(DETECTOR, config.detector.model)


def _encoder(config: ImagesConfig) -> ImageEncoder:
    if config.encoder == "builtin":
        return ImageDescriptor()
    from personavlm.platform.encoders.clip import ClipEncoder

    return ClipEncoder(config.encoder.kind, config.encoder.model)
