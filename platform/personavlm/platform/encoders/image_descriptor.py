"""A descriptor of images by colour and contour: the image encoder where no weights can be had.

It tells whether two pictures show the same thing in much the same view, through another size or
encoding, a slight crop, another brightness. It knows nothing of what things are: the same cup from
another side is another picture. CLIP belongs where that is needed.

A picture is brought to a square and described by three histograms, each scaled to sum 1 and then
square-rooted (Hellinger), so that the cosine of two descriptors compares distributions:

* colour of the whole: hue by brightness for coloured pixels, brightness alone for grey ones;
* the same on a 2 x 2 grid;
* contour: orientations of the gradient, weighted by its strength, on a 4 x 4 grid.

The colour of the border is taken for background and hardly counts in the colour parts: two things on one
table are not the same thing. Pixels count for the two nearest bins and cells of each axis, so that a
small shift changes little.
"""

from collections.abc import Sequence
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from personavlm.memory_store.encoder import Vectors

FORMATS = ("PNG", "JPEG", "WEBP")
MOST_PIXELS = 50_000_000  # 200 MB once decoded

SIDE = 96
HUES, BRIGHTNESSES, GREYS, ORIENTATIONS = 12, 2, 4, 8
COLOURS = HUES * BRIGHTNESSES + GREYS
COLOUR_GRID, CONTOUR_GRID = 2, 4
DIM = COLOURS * (1 + COLOUR_GRID**2) + ORIENTATIONS * CONTOUR_GRID**2

# Shares of the three parts in the squared length of a descriptor.
WHOLE_SHARE, GRID_SHARE, CONTOUR_SHARE = 0.5, 0.25, 0.25

# What a background pixel counts in the colour histograms beside 1 of a pixel that stands out from it.
BACKGROUND_WEIGHT = 0.02
# Distance in RGB, relative to the picture's light, from which a pixel stands out wholly.
STANDS_OUT = 0.25
BORDER = 4

# Pixels darker than this share of the brightest have no hue to speak of.
DARK = 0.1
# Gradient strength per cell and orientation that stands for noise: a plain surface has no contour.
CONTOUR_FLOOR = 0.05

Plane = NDArray[np.float32]


class ImageDescriptor:
    """An ``ImageEncoder`` without weights. Holds no state: safe to share between threads."""

    @property
    def model_id(self) -> str:
        """Name and revision."""
        return "colour-contour@1"

    @property
    def dim(self) -> int:
        """268."""
        return DIM

    @property
    def threshold(self) -> float:
        """Cosine from which two images are taken to show the same thing.

        Fitted by `python -m tests.benchmarks.image_threshold`, which says by what rule, on drawings of 17
        things in six photos each: at it, one of the 136 pairs of things is confused (a loaf and a clay bowl,
        both brown and round), and 2.5 % of the pairs of photos of the same thing are missed.
        """
        return 0.94

    def encode(self, images: Sequence[bytes]) -> Vectors:
        """``(len(images), dim)`` float32 with unit rows. ValueError if bytes are not a
        whole PNG, JPEG or WebP image, or hold more than ``MOST_PIXELS``."""
        return np.array([_describe(_square(data)) for data in images], np.float32).reshape(len(images), DIM)


def _square(data: bytes) -> Plane:
    """``(SIDE, SIDE, 3)`` RGB in [0, 1]: upright, on white where transparent, aspect given up."""
    try:
        with Image.open(BytesIO(data), formats=FORMATS) as image:
            if image.width * image.height > MOST_PIXELS:
                raise ValueError(
                    f"image of {image.width} x {image.height} pixels, at most {MOST_PIXELS} in all"
                )
            image.draft("RGB", (2 * SIDE, 2 * SIDE))  # a JPEG is decoded no larger than it must be
            upright = ImageOps.exif_transpose(image).convert("RGBA")
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:  # all that Pillow's decoders raise
        raise ValueError(f"not a whole image: {error}") from error
    opaque = Image.alpha_composite(Image.new("RGBA", upright.size, "white"), upright).convert("RGB")
    small = opaque.resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    return np.asarray(small, np.float32) / np.float32(255)


def _describe(rgb: Plane) -> Plane:
    # Everything is measured against the picture's own light, so that exposure does not matter.
    light = max(float(np.percentile(rgb.max(axis=2), 95)), 0.05)
    colour = _colour(rgb, light) * _prominence(rgb, light)
    contour = _contour(rgb @ np.array([0.299, 0.587, 0.114], np.float32) / light)
    parts = (
        (WHOLE_SHARE, colour.sum(axis=(1, 2))),
        (GRID_SHARE, _on_grid(colour, COLOUR_GRID)),
        (CONTOUR_SHARE, _on_grid(contour, CONTOUR_GRID) + CONTOUR_FLOOR),
    )
    return np.concatenate(
        [np.sqrt(share * part.ravel() / part.sum()) for share, part in parts], dtype=np.float32
    )


def _prominence(rgb: Plane, light: float) -> Plane:
    """``(SIDE, SIDE)`` weights: how far each pixel stands out from the colour of the border."""
    ends = (slice(None, BORDER), slice(-BORDER, None))
    edges = [rgb[end].reshape(-1, 3) for end in ends] + [rgb[:, end].reshape(-1, 3) for end in ends]
    background = np.median(np.concatenate(edges), axis=0)
    distance = np.linalg.norm(rgb - background, axis=2) / light
    weights = BACKGROUND_WEIGHT + (1 - BACKGROUND_WEIGHT) * np.clip(distance / STANDS_OUT, 0, 1)
    return np.asarray(weights, np.float32)


def _colour(rgb: Plane, light: float) -> Plane:
    """``(COLOURS, SIDE, SIDE)``: how much of each colour bin each pixel is; sums to 1 over bins."""
    brightest = rgb.max(axis=2)
    spread = brightest - rgb.min(axis=2)
    brightness = np.clip(brightest / light, 0, 1)
    coloured = spread / np.maximum(brightest, 1e-6) * np.clip(brightness / DARK, 0, 1)
    hue = _linear_bins(_hue(rgb, brightest, spread) * HUES, HUES, cyclic=True)
    level = _linear_bins(brightness * (BRIGHTNESSES - 1), BRIGHTNESSES, cyclic=False)
    tones = (hue[:, None] * level[None]).reshape(-1, *coloured.shape) * coloured
    greys = _linear_bins(brightness * (GREYS - 1), GREYS, cyclic=False) * (1 - coloured)
    return np.concatenate([tones, greys])


def _hue(rgb: Plane, brightest: Plane, spread: Plane) -> Plane:
    """Hue in [0, 1); 0 for grey."""
    red, green, blue = np.moveaxis(rgb, 2, 0)
    safe = np.maximum(spread, 1e-6)
    sixths = np.where(
        brightest == red,
        (green - blue) / safe,
        np.where(brightest == green, 2 + (blue - red) / safe, 4 + (red - green) / safe),
    )
    return np.asarray(sixths / 6 % 1, np.float32)


def _contour(luma: Plane) -> Plane:
    """``(ORIENTATIONS, SIDE, SIDE)``: gradient strength by orientation, whichever side is darker."""
    down, right = np.gradient(luma)
    strength = np.sqrt(np.hypot(down, right))  # the root keeps one hard edge from hiding all others
    orientation = np.arctan2(down, right) % np.pi / np.pi * ORIENTATIONS
    return np.asarray(_linear_bins(orientation, ORIENTATIONS, cyclic=True) * strength, np.float32)


def _linear_bins(value: Plane, bins: int, *, cyclic: bool) -> Plane:
    """``(bins, *value.shape)``: each value shared between the two bins next to it."""
    distance = np.abs(value[None] - np.arange(bins).reshape(-1, *([1] * value.ndim)))
    if cyclic:
        distance = np.minimum(distance, bins - distance)
    return np.asarray(np.clip(1 - distance, 0, 1), np.float32)


def _on_grid(planes: Plane, cells: int) -> Plane:
    """``(bins, cells, cells)``: planes summed per cell, each pixel shared between its nearest cells."""
    places = (np.arange(SIDE, dtype=np.float32) + 0.5) * cells / SIDE - 0.5
    weights = _linear_bins(np.clip(places, 0, cells - 1), cells, cyclic=False)
    return np.asarray(np.einsum("iy,byx,jx->bij", weights, planes, weights, optimize=True), np.float32)
