"""From which cosine do two images show the same thing? `python -m tests.benchmarks.image_threshold`

On the drawings of the demo's history: *same* are two photos of one thing, made from its drawing by moving the
camera (nearer, aside, tilted), the light, or both, and the mug's own later photos; *different* are photos of
two things. The threshold is the lowest, in steps of 0.01, at which no more than 1 % of all pairs of things
are taken for one another in any of their photos: a wrong match misleads, one that is missed is left to words.

`--encoder clip|siglip --model NAME_OR_PATH` fits a model's threshold, for `images.match_threshold`.
"""

import io
import itertools
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

from personavlm.deployments.demo.draw_images import DRAWINGS
from personavlm.deployments.demo.draw_mug import mug
from personavlm.memory_store.encoder import ImageEncoder
from personavlm.platform.encoders.build import build_matcher
from personavlm.platform.media_config import ImagesConfig, VisionModelConfig
from tests.benchmarks.report import Report, arguments

CONFUSED = 0.01
STEP = 0.01
Floats = NDArray[np.float64]


def _part(image: Image.Image, left: float, top: float, right: float, bottom: float) -> Image.Image:
    width, height = image.size
    return image.crop((int(left * width), int(top * height), int(right * width), int(bottom * height)))


def _tilted(image: Image.Image) -> Image.Image:
    return _part(image.rotate(6, Image.Resampling.BICUBIC), 0.06, 0.06, 0.94, 0.94)


PHOTOS: Mapping[str, Callable[[Image.Image], Image.Image]] = {
    "as drawn": lambda image: image,
    "nearer": lambda image: _part(image, 0.06, 0.06, 0.94, 0.94),
    "aside": lambda image: _part(image, 0.1, 0.04, 1, 0.98),
    "tilted": _tilted,
    "darker": lambda image: ImageEnhance.Brightness(image).enhance(0.7),
    "nearer, tilted, brighter": lambda image: ImageEnhance.Brightness(_tilted(image)).enhance(1.2),
}


@dataclass(frozen=True, slots=True)
class Cosines:
    """``same``: of each two photos of one thing. ``nearest``: of each two things the greatest, ``different``
    all of them."""

    same: Floats
    nearest: Floats
    different: Floats

    def threshold(self) -> float:
        """See the module."""
        steps = map(float, np.arange(0, 1, STEP))
        return next((one for one in steps if self.confused(one) <= CONFUSED), 1.0)

    def missed(self, threshold: float) -> float:
        """Share of the photos of the same thing below it."""
        return float((self.same < threshold).mean())

    def confused(self, threshold: float) -> float:
        """Share of the pairs of things of which some photos reach it."""
        return float((self.nearest >= threshold).mean())


def measure(encoder: ImageEncoder) -> Cosines:
    """Encode every photo of every drawing, and compare each with each."""
    photos = [
        (_thing(drawing.__name__), _png(photo(drawing())))
        for drawing in DRAWINGS
        for photo in PHOTOS.values()
    ]
    vectors = encoder.encode([data for _, data in photos])
    cosines = (vectors @ vectors.T).astype(np.float64)
    by_things = defaultdict[tuple[str, str], list[float]](list)
    for one, other in itertools.combinations(range(len(photos)), 2):
        first, second = sorted((photos[one][0], photos[other][0]))
        by_things[first, second].append(cosines[one, other])
    apart = [values for (one, other), values in by_things.items() if one != other]
    same = [value for (one, other), values in by_things.items() if one == other for value in values]
    return Cosines(np.array(same), np.array(list(map(max, apart))), np.concatenate(apart))


def _rows(found: Cosines) -> list[tuple[str, ...]]:
    quantiles = (0.0, 0.05, 0.5, 0.95, 1.0)
    named = (("same", found.same), ("different", found.different))
    return [
        (name, f"{len(values):,}", *(f"{np.quantile(values, q):.3f}" for q in quantiles))
        for name, values in named
    ]


def _thing(drawing: str) -> str:
    """`mug_turned` and `mug_at_dusk` are photos of the mug."""
    return mug.__name__ if drawing.startswith(mug.__name__) else drawing


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def main() -> None:
    parser = arguments("Fit the threshold from which two images show the same thing.")
    parser.add_argument("--encoder", choices=("builtin", "clip", "siglip"), default="builtin")
    parser.add_argument("--model", help="of clip or siglip: a folder or a name at the hub")
    options = parser.parse_args()
    chosen = (
        "builtin"
        if options.encoder == "builtin"
        else VisionModelConfig(kind=options.encoder, model=options.model or "")
    )
    encoder = build_matcher(ImagesConfig(encoder=chosen))
    found = measure(encoder)
    report = Report(f"Cosines of photos of the same and of different things: {encoder.model_id}")
    report.table("Cosines", ("photos", "pairs", "least", "5 %", "median", "95 %", "greatest"), _rows(found))
    thresholds = {"fitted": found.threshold(), "in use": encoder.threshold}
    report.table(
        "Thresholds",
        ("", "cosine", "photos of the same thing missed", "pairs of things confused"),
        [
            (name, f"{one:.2f}", f"{found.missed(one):.1%}", f"{found.confused(one):.1%}")
            for name, one in thresholds.items()
        ],
    )
    for name, one in thresholds.items():
        report.figure(f"threshold {name}", round(one, 4))
    report.demand("photos of the same thing missed", found.missed(encoder.threshold), "<=", 0.05)
    report.demand("pairs of things confused", found.confused(encoder.threshold), "<=", CONFUSED)
    report.finish(options.json)


if __name__ == "__main__":
    main()
