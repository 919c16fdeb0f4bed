"""The report's plots, drawn with Pillow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import mean

from PIL import Image, ImageDraw, ImageFont

from personavlm.jobs.synthesize.parts import PartStatistics
from personavlm.memory_store.records import TRAITS

SIZE = (1400, 1000)
MARGIN, TITLE = 30, 40  # around a panel, in pixels, and for its title
COLORS = ("#0072b2", "#009e73", "#e69f00", "#cc79a7", "#d55e00")  # told apart by colour-blind eyes too
INK, GREY = "#222222", "#bbbbbb"
BINS = 10
NAMES = 290  # pixels for the names of bars
PLACES = 20  # at which the course of a trait is averaged over personas
Box = tuple[int, int, int, int]


def draw_report(parts: Sequence[PartStatistics], totals: Mapping[str, Mapping[str, float]]) -> Image.Image:
    """Four panels: lengths of lives, what is learned from, what is asked, and how personality moves."""
    image = Image.new("RGB", SIZE, "white")
    pen = ImageDraw.Draw(image)
    left, right, upper, lower = _columns(0), _columns(1), (MARGIN, 420), (460, SIZE[1] - MARGIN)
    _histogram(pen, _corner(left, upper), "Turns of a persona", [part.turns for part in parts])
    _bars(pen, _corner(right, upper), "Conversations to learn from", totals["conversations to learn from"])
    _bars(pen, _corner(left, lower), "Questions asked", totals["questions asked"])
    _traits(pen, _corner(right, lower), "How far a trait moves from 3, mean over personas", parts)
    return image


def _columns(number: int) -> tuple[int, int]:
    width = SIZE[0] // 2
    return number * width + MARGIN, (number + 1) * width - MARGIN


def _corner(across: tuple[int, int], down: tuple[int, int]) -> Box:
    return across[0], down[0], across[1], down[1]


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _titled(pen: ImageDraw.ImageDraw, box: Box, title: str) -> Box:
    """The box below a title."""
    left, top, right, bottom = box
    pen.text((left, top), title, INK, _font(22))
    return left, top + TITLE, right, bottom


def _histogram(pen: ImageDraw.ImageDraw, box: Box, title: str, values: Sequence[int]) -> None:
    left, top, right, bottom = _titled(pen, box, title)
    low, high = min(values), max(values) + 1
    counts = [0] * BINS
    for value in values:
        counts[(value - low) * BINS // (high - low)] += 1
    width, floor = (right - left) / BINS, bottom - 30
    for place, count in enumerate(counts):
        x, y = left + place * width, floor - (floor - top - 24) * count / max(counts)
        pen.rectangle((x + 2, y, x + width - 2, floor), fill=COLORS[0])
        if count:
            pen.text((x + width / 2, y - 4), str(count), INK, _font(16), anchor="mb")
        start = low + (high - low) * place / BINS
        pen.text((x + width / 2, floor + 6), f"{start:.0f}+", INK, _font(16), anchor="mt")
    pen.line((left, floor, right, floor), fill=INK, width=2)


def _bars(pen: ImageDraw.ImageDraw, box: Box, title: str, counts: Mapping[str, float]) -> None:
    left, top, right, bottom = _titled(pen, box, title)
    if not counts:
        return
    height = min(44.0, (bottom - top) / len(counts))
    most, start = max(counts.values()), left + NAMES
    for place, (name, count) in enumerate(counts.items()):
        y = top + place * height
        middle = y + height / 2
        pen.text((start - 10, middle), name, INK, _font(16), anchor="rm")
        end = start + (right - start - 70) * count / most
        pen.rectangle((start, y + 3, end, y + height - 3), fill=COLORS[0])
        pen.text((end + 6, middle), f"{count:,.0f}", INK, _font(16), anchor="lm")


def _traits(pen: ImageDraw.ImageDraw, box: Box, title: str, parts: Sequence[PartStatistics]) -> None:
    left, top, right, bottom = _titled(pen, box, title)
    floor, courses = bottom - 90, [_course(parts, trait) for trait in range(len(TRAITS))]
    most = max(0.1, *(value for course in courses for value in course))
    for tick in range(5):
        y = floor - (floor - top) * tick / 4
        pen.line((left + 46, y, right, y), fill=GREY)
        pen.text((left + 40, y), f"{most * tick / 4:.2f}", INK, _font(16), anchor="rm")
    for number, (trait, course) in enumerate(zip(TRAITS, courses, strict=True)):
        points = [
            (left + 46 + (right - left - 46) * place / (PLACES - 1), floor - (floor - top) * value / most)
            for place, value in enumerate(course)
        ]
        pen.line(points, fill=COLORS[number], width=4)
        x, y = left + 46 + number % 3 * 200, floor + 36 + number // 3 * 28
        pen.rectangle((x, y, x + 18, y + 18), fill=COLORS[number])
        pen.text((x + 26, y + 9), trait, INK, _font(16), anchor="lm")
    pen.text((left + 46, floor + 8), "first turn", INK, _font(16))
    pen.text((right, floor + 8), "last turn", INK, _font(16), anchor="ra")


def _course(parts: Sequence[PartStatistics], trait: int) -> list[float]:
    """Mean distance of a trait from neutral, at `PLACES` places from a life's beginning to its end."""
    return [
        mean(abs(part.traits[(len(part.traits) - 1) * place // (PLACES - 1)][trait] - 3) for part in parts)
        for place in range(PLACES)
    ]
