"""Pictures of coloured forms, small as the smallest image that Qwen2.5-VL takes."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from random import Random

from PIL import Image, ImageDraw

from personavlm.jobs.gym.personas import Shape

SIDE = 56  # pixels: four tokens
_RGB: Mapping[str, tuple[int, int, int]] = {
    "red": (220, 30, 30),
    "green": (30, 180, 40),
    "blue": (40, 60, 220),
    "yellow": (230, 220, 40),
    "purple": (150, 40, 180),
    "cyan": (40, 210, 210),
    "white": (240, 240, 240),
    "orange": (245, 140, 20),
}


def picture(shape: Shape, seed: str) -> tuple[bytes, int]:
    """A PNG and the length of its sides in pixels. Another seed moves the form a little."""
    random = Random(seed)
    ground = random.randrange(60)
    image = Image.new("RGB", (SIDE, SIDE), (ground, ground, ground))
    radius = random.uniform(0.28, 0.38) * SIDE
    x, y = (SIDE / 2 + random.uniform(-0.08, 0.08) * SIDE for _ in range(2))
    _FORMS[shape.form](ImageDraw.Draw(image), x, y, radius, _RGB[shape.colour])
    data = BytesIO()
    image.save(data, "PNG")
    return data.getvalue(), SIDE


Colour = tuple[int, int, int]


def _circle(draw: ImageDraw.ImageDraw, x: float, y: float, radius: float, colour: Colour) -> None:
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)


def _square(draw: ImageDraw.ImageDraw, x: float, y: float, radius: float, colour: Colour) -> None:
    half = 0.85 * radius
    draw.rectangle((x - half, y - half, x + half, y + half), fill=colour)


def _triangle(draw: ImageDraw.ImageDraw, x: float, y: float, radius: float, colour: Colour) -> None:
    corners = [(x, y - radius), (x - radius, y + 0.8 * radius), (x + radius, y + 0.8 * radius)]
    draw.polygon(corners, fill=colour)


def _cross(draw: ImageDraw.ImageDraw, x: float, y: float, radius: float, colour: Colour) -> None:
    bar = 0.35 * radius
    draw.rectangle((x - bar, y - radius, x + bar, y + radius), fill=colour)
    draw.rectangle((x - radius, y - bar, x + radius, y + bar), fill=colour)


_FORMS = {"circle": _circle, "square": _square, "triangle": _triangle, "cross": _cross}
