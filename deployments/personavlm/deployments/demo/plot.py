"""The personality curve as a PNG, drawn with Pillow: a plotting library would weigh more than the demo."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from personavlm.deployments.demo.personality import Curve
from personavlm.memory_store import NEUTRAL

SIZE = (1350, 750)
LEFT, TOP, RIGHT, BOTTOM = 90, 70, 1090, 680  # of the plotted area; the names of the lines stand right of it
COLORS = ("#0072b2", "#009e73", "#e69f00", "#cc79a7", "#d55e00")  # told apart by colour-blind eyes too
INK, GREY = "#222222", "#999999"
LABEL_PITCH = 30  # least distance of two names, in pixels
TICK_DAYS = 14


def plot_personality(curve: Curve, path: Path, title: str) -> None:
    """Write the curve as a PNG with dates. A score holds until the next, so the lines have steps."""
    image = Image.new("RGB", SIZE, "white")
    draw = ImageDraw.Draw(image)
    scale = _Scale(curve)
    draw.text((LEFT, 20), title, INK, ImageFont.load_default(26))
    _draw_axes(draw, scale, curve)
    for values, color in zip(curve.values.values(), COLORS, strict=True):
        draw.line(_steps(scale, curve.times, values), color, width=4)
    _draw_names(draw, scale, curve)
    image.save(path)


class _Scale:
    """From times and scores to pixels."""

    def __init__(self, curve: Curve) -> None:
        low, high = curve.limits
        self.low, self.high = low - 0.15, high + 0.15
        self._start, self._span = curve.times[0], curve.times[-1] - curve.times[0]

    def x(self, time: datetime) -> float:
        share = (time - self._start) / self._span if self._span else 1.0
        return LEFT + share * (RIGHT - LEFT)

    def y(self, score: float) -> float:
        return BOTTOM - (score - self.low) / (self.high - self.low) * (BOTTOM - TOP)


def _steps(scale: _Scale, times: Sequence[datetime], values: Sequence[float]) -> list[tuple[float, float]]:
    corners = [(scale.x(times[0]), scale.y(values[0]))]
    for time, value in zip(times[1:], values[1:], strict=True):
        corners += [(scale.x(time), corners[-1][1]), (scale.x(time), scale.y(value))]
    return corners


def _draw_axes(draw: ImageDraw.ImageDraw, scale: _Scale, curve: Curve) -> None:
    font = ImageFont.load_default(20)
    draw.line([(LEFT, TOP), (LEFT, BOTTOM), (RIGHT, BOTTOM)], INK, width=2)
    draw.line([(LEFT, scale.y(NEUTRAL)), (RIGHT, scale.y(NEUTRAL))], GREY, width=1)
    draw.text((LEFT + 8, TOP - 14), "score, 1 to 5 (3 is neutral)", GREY, font)
    for half in range(2, 11):
        if scale.low <= half / 2 <= scale.high:
            draw.text((LEFT - 14, scale.y(half / 2)), f"{half / 2:.1f}", INK, font, anchor="rm")
    first = curve.times[0]
    day = first.replace(hour=0, minute=0) + timedelta(days=7 - first.weekday())  # the first Monday after it
    while day <= curve.times[-1]:
        draw.line([(scale.x(day), BOTTOM), (scale.x(day), BOTTOM + 8)], INK, width=2)
        draw.text((scale.x(day), BOTTOM + 14), f"{day:%-d %b}", INK, font, anchor="mt")
        day += timedelta(days=TICK_DAYS)


def _draw_names(draw: ImageDraw.ImageDraw, scale: _Scale, curve: Curve) -> None:
    """Each line's name and last score at its end, moved apart where they would overlap."""
    ends = sorted(
        (scale.y(values[-1]), f"{trait} {values[-1]:.1f}", color)
        for (trait, values), color in zip(curve.values.items(), COLORS, strict=True)
    )
    heights = [end[0] for end in ends]
    for upper, lower in pairwise(range(len(heights))):
        heights[lower] = max(heights[lower], heights[upper] + LABEL_PITCH)
    for height, (_, name, color) in zip(heights, ends, strict=True):
        draw.text((RIGHT + 14, height), name, color, ImageFont.load_default(22), anchor="lm")
