"""The sheet on which the demo's images are drawn, and its colours."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw

SIZE = 192
OVERSAMPLING = 4  # drawn larger and shrunk, which smooths the edges

Point = tuple[float, float]
WOOD, WALL, SKY = "#c89b6a", "#efe6d8", "#a9d3ee"
BLUE, WHITE, RED, ORANGE, YELLOW = "#2457b8", "#fbfaf6", "#c92f2f", "#f0781e", "#f3c11b"
GREY, DARK, BROWN, GREEN, CLAY = "#8d9097", "#2b2b30", "#8a5a33", "#3f8f46", "#b98a68"


class Sheet:
    """A canvas in units of 1/192 of its side."""

    def __init__(self, background: str) -> None:
        side = SIZE * OVERSAMPLING
        self.image = Image.new("RGB", (side, side), background)
        self._draw = ImageDraw.Draw(self.image)

    def box(self, left: float, top: float, right: float, bottom: float, fill: str, radius: float = 0) -> None:
        corners = [value * OVERSAMPLING for value in (left, top, right, bottom)]
        self._draw.rounded_rectangle(corners, radius * OVERSAMPLING, fill)

    def oval(self, x: float, y: float, width: float, height: float, fill: str) -> None:
        """An ellipse around (x, y)."""
        corners = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
        self._draw.ellipse([value * OVERSAMPLING for value in corners], fill)

    def ring(self, x: float, y: float, diameter: float, width: float, color: str) -> None:
        half = diameter / 2
        corners = [value * OVERSAMPLING for value in (x - half, y - half, x + half, y + half)]
        self._draw.ellipse(corners, outline=color, width=round(width * OVERSAMPLING))

    def area(self, points: Sequence[Point], fill: str) -> None:
        self._draw.polygon([(x * OVERSAMPLING, y * OVERSAMPLING) for x, y in points], fill)

    def line(self, points: Sequence[Point], width: float, color: str) -> None:
        scaled = [(x * OVERSAMPLING, y * OVERSAMPLING) for x, y in points]
        self._draw.line(scaled, color, round(width * OVERSAMPLING), joint="curve")

    def finish(self) -> Image.Image:
        """The drawing at its final size, (192, 192) RGB."""
        return shrink(self.image)


def shrink(image: Image.Image) -> Image.Image:
    """Any image at the final size, smoothed."""
    return image.resize((SIZE, SIZE), Image.Resampling.LANCZOS)


def table(background: str = WALL) -> Sheet:
    """A sheet with the top of a wooden table across its lower third."""
    sheet = Sheet(background)
    sheet.box(0, 128, 192, 192, WOOD)
    return sheet
