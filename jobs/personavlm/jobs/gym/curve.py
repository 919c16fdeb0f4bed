"""A learning curve as a PNG, drawn with Pillow: a plotting library would weigh more than all else here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

SIZE = (1100, 600)
LEFT, TOP, RIGHT, BOTTOM = 80, 70, 880, 530  # of the plotted area; the names of the lines stand right of it
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")  # told apart by colour-blind eyes too
INK, GREY = "#222222", "#bbbbbb"
NAME_PITCH = 26  # least distance of two names, in pixels
TICKS = 5


def plot_curves(series: Mapping[str, Sequence[float]], path: Path, title: str, step: str) -> None:
    """Write each series as a line over its steps from 1. At most as many series as there are colours.

    Raises `ValueError` for a series without values, for none and for too many.
    """
    if not series or not all(series.values()) or len(series) > len(COLORS):
        raise ValueError(f"1 to {len(COLORS)} series can be drawn, none of them empty")
    image = Image.new("RGB", SIZE, "white")
    draw = ImageDraw.Draw(image)
    scale = _Scale(series)
    draw.text((LEFT, 22), title, INK, ImageFont.load_default(24))
    _draw_axes(draw, scale, step)
    for values, color in zip(series.values(), COLORS, strict=False):
        points = [(scale.x(at), scale.y(value)) for at, value in enumerate(values, start=1)]
        draw.line(points, color, width=3)
    _draw_names(draw, scale, series)
    image.save(path)


class _Scale:
    """From steps and values to pixels."""

    def __init__(self, series: Mapping[str, Sequence[float]]) -> None:
        values = [value for one in series.values() for value in one]
        self.steps = max(map(len, series.values()))
        self.low, self.high = min(0.0, *values), max(*values, 1e-9) * 1.05

    def x(self, step: int) -> float:
        return LEFT + (step - 1) / max(1, self.steps - 1) * (RIGHT - LEFT)

    def y(self, value: float) -> float:
        return BOTTOM - (value - self.low) / (self.high - self.low) * (BOTTOM - TOP)


def _draw_axes(draw: ImageDraw.ImageDraw, scale: _Scale, step: str) -> None:
    font = ImageFont.load_default(18)
    for tick in range(TICKS + 1):
        value = scale.low + tick / TICKS * (scale.high - scale.low)
        draw.line([(LEFT, scale.y(value)), (RIGHT, scale.y(value))], GREY, width=1)
        draw.text((LEFT - 10, scale.y(value)), f"{value:.2f}", INK, font, anchor="rm")
        at = 1 + round(tick / TICKS * (scale.steps - 1))
        draw.text((scale.x(at), BOTTOM + 10), f"{at}", INK, font, anchor="mt")
    draw.line([(LEFT, TOP), (LEFT, BOTTOM), (RIGHT, BOTTOM)], INK, width=2)
    draw.text(((LEFT + RIGHT) / 2, BOTTOM + 36), step, INK, font, anchor="mt")


def _draw_names(draw: ImageDraw.ImageDraw, scale: _Scale, series: Mapping[str, Sequence[float]]) -> None:
    """Each line's name and last value at its end, moved apart where they would overlap."""
    ends = sorted(
        (scale.y(values[-1]), f"{name} {values[-1]:.2f}", color)
        for (name, values), color in zip(series.items(), COLORS, strict=False)
    )
    lowest = 0.0
    for height, text, color in ends:
        lowest = max(lowest + NAME_PITCH, height)
        draw.text((RIGHT + 12, lowest), text, color, ImageFont.load_default(20), anchor="lm")
