"""Images as the vision tower takes them: the same pixels that engines see."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from functools import lru_cache

from PIL import Image, UnidentifiedImageError
from torch import Tensor
from transformers import AutoImageProcessor

from personavlm.jobs.images import ImageFolder
from personavlm.platform.engines.checkpoint import Checkpoint
from personavlm.platform.engines.pixels import decode, fitted
from personavlm.platform.errors import CheckpointError, CommandError

KEPT_SIZES = 100_000


@dataclass
class Pictures:
    """The images of a run, for one checkpoint."""

    folder: ImageFolder
    checkpoint: Checkpoint
    max_pixels: int
    _processor: AutoImageProcessor = field(init=False)

    def __post_init__(self) -> None:
        try:
            self._processor = AutoImageProcessor.from_pretrained(self.checkpoint.path, backend="pil")
        except (OSError, ValueError) as error:
            raise CheckpointError(f"{self.checkpoint.path} has no usable image processor: {error}") from error
        limits = self.checkpoint.processor_limits(self.max_pixels)
        self._size = {"shortest_edge": limits["min_pixels"], "longest_edge": limits["max_pixels"]}
        self.tokens = lru_cache(KEPT_SIZES)(self._tokens)

    def _tokens(self, name: str) -> int:
        """How many tokens the image takes; only its header is read."""
        patch = self.checkpoint.patch_pixels
        try:
            with Image.open(io.BytesIO(self._bytes(name))) as image:
                across, down = fitted(image.width, image.height, patch, self.max_pixels)
        except (UnidentifiedImageError, OSError) as error:
            raise CommandError(f"image {name} in {self.folder.path} cannot be decoded: {error}") from error
        return (across // patch) * (down // patch)

    def read(self, names: tuple[str, ...]) -> tuple[Tensor, Tensor]:
        """Patches (patches, values of a patch), and their grids (images, 3): time, height, width."""
        patch = self.checkpoint.patch_pixels
        images = [decode(self._bytes(name), patch, self.max_pixels) for name in names]
        found = self._processor(images=images, size=self._size, return_tensors="pt")
        return found["pixel_values"], found["image_grid_thw"]

    def _bytes(self, name: str) -> bytes:
        try:
            return self.folder.read(name)
        except LookupError as error:
            raise CommandError(f"an image of the training data is missing: {error}") from error
