"""Draws the mug of the demo's history, and how it looks in two later photos."""

from __future__ import annotations

from PIL import Image, ImageEnhance

from personavlm.deployments.demo.sheet import BLUE, WHITE, Sheet, shrink, table


def _mug(sheet: Sheet, x: float, y: float, scale: float, handle: int) -> None:
    """The blue mug with white dots, its middle at (x, y); ``handle`` is 1 right or -1 left."""
    sheet.oval(x, y + 46 * scale, 92 * scale, 14 * scale, "#a67c4e")
    sheet.ring(x + handle * 40 * scale, y + 2 * scale, 46 * scale, 9 * scale, BLUE)
    sheet.box(x - 38 * scale, y - 40 * scale, x + 38 * scale, y + 46 * scale, BLUE, 10 * scale)
    sheet.oval(x, y - 40 * scale, 76 * scale, 18 * scale, "#16397c")
    for row in range(3):
        for column in range(4 - row % 2):
            dot = (x + (column * 20 - 30 + row % 2 * 10) * scale, y + (row * 24 - 16) * scale)
            sheet.oval(*dot, 9 * scale, 9 * scale, WHITE)


def mug() -> Image.Image:
    sheet = table()
    _mug(sheet, 92, 104, 1.15, 1)
    return sheet.finish()


def mug_turned() -> Image.Image:
    """The same mug later: nearer, handle to the left, the camera tilted."""
    sheet = table()
    _mug(sheet, 100, 102, 1.15, -1)
    tilted = sheet.image.rotate(8, Image.Resampling.BICUBIC)
    margin = round(tilted.width * 0.07)  # cuts off the corners that the rotation left empty
    return shrink(tilted.crop((margin, margin, tilted.width - margin, tilted.height - margin)))


def mug_at_dusk() -> Image.Image:
    """The same mug later: farther away and in less light."""
    sheet = table()
    _mug(sheet, 108, 112, 0.95, 1)
    return ImageEnhance.Brightness(sheet.finish()).enhance(0.72)
