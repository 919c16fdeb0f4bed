"""Drawings of things, for lives without photographs: each the same for the same picture."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from io import BytesIO
from random import Random

from PIL import Image, ImageDraw

from personavlm.jobs.synthesize.life import Picture
from personavlm.jobs.synthesize.world import world

SIDE = 112  # pixels: four by four image tokens of Qwen2.5-VL
SCALE = 4  # drawn larger, then made smaller, for smooth edges
BACKGROUNDS = ("#dfe7ea", "#efe6d6", "#cfd8c9", "#d9d2e3", "#c9d4de")
INK = "#2b2b2b"
Draw = ImageDraw.ImageDraw
Shape = Callable[[Draw, str], None]


def draw(picture: Picture) -> bytes:
    """The picture as a PNG of `SIDE` x `SIDE` pixels."""
    rng = Random(picture.seed)
    size = SIDE * SCALE
    image = Image.new("RGB", (size, size), rng.choice(BACKGROUNDS))
    ImageDraw.Draw(image).rectangle((0, size * 0.78, size, size), fill="#a58a68")
    image.paste(_coloured(picture), mask=_silhouette(picture.thing))
    ImageDraw.Draw(image).line((0, size * 0.78, size, size * 0.78), fill=INK, width=SCALE)
    file = BytesIO()
    turned = image.rotate(rng.uniform(-8, 8), Image.Resampling.BILINEAR, fillcolor="#8c8c8c")
    turned.resize((SIDE, SIDE), Image.Resampling.LANCZOS).save(file, "PNG")
    return file.getvalue()


def picture_name(picture: Picture) -> str:
    """The name of its file: the SHA-256 of the PNG."""
    return f"{sha256(draw(picture)).hexdigest()}.png"


def _coloured(picture: Picture) -> Image.Image:
    """A sheet in the thing's colour and pattern."""
    size, colour = SIDE * SCALE, world().colours[picture.colour]
    sheet = Image.new("RGB", (size, size), colour)
    pen, step = ImageDraw.Draw(sheet), size // 9
    ink = INK if picture.colour in ("white", "yellow") else "#f7f4ec"
    for at in range(0, size, step):
        if picture.pattern == "striped":
            pen.rectangle((0, at, size, at + step // 3), fill=ink)
        elif picture.pattern == "dotted":
            for across in range((at // step % 2) * step // 2, size, step):
                pen.ellipse((across, at, across + step // 2, at + step // 2), fill=ink)
    return sheet


def _silhouette(thing: str) -> Image.Image:
    mask = Image.new("L", (100, 100), 0)
    _SHAPES[thing](ImageDraw.Draw(mask), "white")
    return mask.resize((SIDE * SCALE, SIDE * SCALE), Image.Resampling.LANCZOS)


def _mug(pen: Draw, ink: str) -> None:
    pen.rounded_rectangle((26, 34, 66, 82), 6, fill=ink)
    pen.arc((56, 42, 84, 72), 250, 110, fill=ink, width=7)


def _bowl(pen: Draw, ink: str) -> None:
    pen.pieslice((16, 22, 84, 86), 0, 180, fill=ink)
    pen.rectangle((36, 82, 64, 88), fill=ink)


def _lamp(pen: Draw, ink: str) -> None:
    pen.polygon([(34, 16), (66, 16), (80, 50), (20, 50)], fill=ink)
    pen.rectangle((46, 50, 54, 80), fill=ink)
    pen.rectangle((30, 78, 70, 86), fill=ink)


def _kite(pen: Draw, ink: str) -> None:
    pen.polygon([(50, 8), (76, 40), (50, 78), (24, 40)], fill=ink)
    pen.line([(50, 78), (60, 86), (52, 94)], fill=ink, width=3)


def _boot(pen: Draw, ink: str) -> None:
    pen.polygon([(30, 18), (56, 18), (56, 58), (84, 68), (86, 84), (28, 84)], fill=ink)


def _umbrella(pen: Draw, ink: str) -> None:
    pen.pieslice((12, 14, 88, 90), 180, 360, fill=ink)
    pen.rectangle((48, 50, 52, 84), fill=ink)
    pen.arc((38, 74, 52, 92), 0, 180, fill=ink, width=4)


def _book(pen: Draw, ink: str) -> None:
    pen.polygon([(10, 34), (48, 42), (48, 84), (10, 76)], fill=ink)
    pen.polygon([(90, 34), (52, 42), (52, 84), (90, 76)], fill=ink)


def _vase(pen: Draw, ink: str) -> None:
    pen.ellipse((28, 40, 72, 88), fill=ink)
    pen.rectangle((43, 16, 57, 48), fill=ink)
    pen.rectangle((37, 12, 63, 20), fill=ink)


_SHAPES: dict[str, Shape] = {
    "mug": _mug, "bowl": _bowl, "lamp": _lamp, "kite": _kite,
    "boot": _boot, "umbrella": _umbrella, "book": _book, "vase": _vase,
}  # fmt: skip
