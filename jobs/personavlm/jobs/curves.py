"""Curves over the steps of a run as a PNG, drawn with Pillow: a plotting library would weigh too much."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

WIDTH, PANEL = 1100, 320
LEFT, TOP, RIGHT, BOTTOM = 90, 50, 880, 270  # of the plotted area in a panel
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00")  # told apart by colour-blind eyes too
INK, GREY = "#222222", "#bbbbbb"
TICKS = 4

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Panel:
    """One plot: lines by name, each as (step, value)."""

    title: str
    lines: Mapping[str, Points]


def draw_curves(panels: Sequence[Panel], path: Path) -> None:
    """Write the panels, one below the other. A panel without points stays empty."""
    image = Image.new("RGB", (WIDTH, PANEL * len(panels)), "white")
    draw = ImageDraw.Draw(image)
    for number, panel in enumerate(panels):
        _Axes(draw, panel, number * PANEL).draw()
    image.save(path)


class _Axes:
    """A panel that begins ``top`` pixels below the image's upper edge."""

    def __init__(self, draw: ImageDraw.ImageDraw, panel: Panel, top: int) -> None:
        self._draw, self._panel, self._top = draw, panel, top
        points = [point for line in panel.lines.values() for point in line] or [(0.0, 0.0), (1.0, 1.0)]
        self._x = _range([x for x, _ in points])
        self._y = _range([y for _, y in points])

    def draw(self) -> None:
        self._draw.text((LEFT, self._top + 12), self._panel.title, INK, ImageFont.load_default(20))
        for tick in range(TICKS + 1):
            self._tick(tick / TICKS)
        for (name, points), colour, place in zip(
            self._panel.lines.items(), COLOURS, range(len(COLOURS)), strict=False
        ):
            pixels = [self._pixel(point) for point in points]
            if len(pixels) > 1:
                self._draw.line(pixels, colour, width=3)
            last = f" {points[-1][1]:.3g}" if points else ""
            self._draw.text(
                (RIGHT + 16, self._top + TOP + 28 * place), name + last, colour, ImageFont.load_default(17)
            )

    def _tick(self, share: float) -> None:
        font = ImageFont.load_default(15)
        x, y = LEFT + share * (RIGHT - LEFT), self._top + BOTTOM - share * (BOTTOM - TOP)
        self._draw.line([(LEFT, y), (RIGHT, y)], GREY)
        self._draw.text((LEFT - 10, y), f"{_at(self._y, share):.3g}", INK, font, anchor="rm")
        self._draw.text((x, self._top + BOTTOM + 8), f"{_at(self._x, share):.0f}", INK, font, anchor="mt")

    def _pixel(self, point: tuple[float, float]) -> tuple[float, float]:
        x, y = (
            (value - low) / (high - low) for value, (low, high) in zip(point, (self._x, self._y), strict=True)
        )
        return LEFT + x * (RIGHT - LEFT), self._top + BOTTOM - y * (BOTTOM - TOP)


def _range(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _at(span: tuple[float, float], share: float) -> float:
    return span[0] + share * (span[1] - span[0])
