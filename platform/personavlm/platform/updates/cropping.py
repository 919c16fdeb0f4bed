"""What a memory keeps of its turn's images: the thing that it is about, where a detector finds it."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from personavlm.memory_store import MemoryStore, NotFoundError
from personavlm.memory_store.records import Crop, ImageRef, UserKey
from personavlm.platform.encoders.crops import Detector, cut
from personavlm.platform.updates.conversion import Pictures

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Cropper:
    """Cuts things out of one user's images, and stores what it cut. Waits for disk and detector."""

    store: MemoryStore
    user: UserKey
    detector: Detector | None

    def crop(self, images: tuple[ImageRef, ...], thing: str) -> Pictures:
        """Crops of those images in which the thing is found; all of them whole where it is found in none.

        The same image and box give the same bytes, so a step that is repeated stores nothing twice.
        """
        found = [one for one in (self._one(image, thing) for image in images) if one]
        if not found:
            return images, ()
        return tuple(image for image, _ in found), tuple(crop for _, crop in found)

    def _one(self, image: ImageRef, thing: str) -> tuple[ImageRef, Crop] | None:
        if self.detector is None:
            return None
        try:
            data = self.store.image(self.user, image.sha256)
            box = self.detector.find(data, thing)
            if box is None:
                return None
            png, width, height = cut(data, box)
        except (NotFoundError, ValueError) as error:  # erased meanwhile, or no image that Pillow can read
            log.warning("an image is kept whole: %s", error)
            return None
        ref = self.store.put_image(self.user, png, "image/png", width, height, image.caption)
        return ref, Crop(ref.sha256, image.sha256, box)
