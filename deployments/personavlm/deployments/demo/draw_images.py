"""Draws the images of the demo's history: `python -m personavlm.deployments.demo.draw_images`.

Each drawing is a function over a sheet of 192 x 192 units. Nothing is random, so drawing again gives the
committed pixels.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from personavlm.deployments.demo.draw_mug import mug, mug_at_dusk, mug_turned
from personavlm.deployments.demo.sheet import (
    BLUE,
    BROWN,
    CLAY,
    DARK,
    GREEN,
    GREY,
    ORANGE,
    RED,
    SKY,
    WALL,
    WHITE,
    WOOD,
    YELLOW,
    Point,
    Sheet,
    table,
)  # fmt: skip

IMAGES = Path(__file__).parent / "history" / "images"
Drawing = Callable[[], Image.Image]
COLORS = 64  # of the PNGs' palette: flat drawings need no more, and the files stay small


def cat() -> Image.Image:
    sheet = Sheet("#d9c7e8")
    sheet.box(20, 150, 172, 180, WHITE, 3)
    sheet.line([(140, 140), (168, 128), (166, 98)], 13, GREY)
    sheet.oval(98, 136, 104, 78, GREY)
    for x in (72, 96, 120):
        sheet.line([(x, 100), (x + 3, 122)], 6, "#5f626a")
    sheet.area([(50, 62), (56, 24), (80, 46)], GREY)
    sheet.area([(120, 46), (142, 24), (148, 62)], GREY)
    sheet.oval(98, 76, 100, 76, GREY)
    for x in (86, 98, 110):
        sheet.line([(x, 42), (x, 58)], 5, "#5f626a")
    for x in (78, 118):
        sheet.oval(x, 72, 18, 20, "#d6c22f")
        sheet.oval(x, 72, 6, 17, DARK)
    sheet.area([(92, 86), (104, 86), (98, 93)], "#d98a94")
    for y in (88, 96):
        sheet.line([(34, y + 4), (74, y)], 1.5, WHITE)
        sheet.line([(122, y), (162, y + 4)], 1.5, WHITE)
    return sheet.finish()


def climbing_wall() -> Image.Image:
    sheet = Sheet("#9aa3ad")
    sheet.area([(120, 0), (192, 0), (192, 192), (84, 192)], "#87909b")
    sheet.box(0, 172, 192, 192, "#35507a")
    route = [(40, 150, 26), (70, 122, 22), (52, 92, 28), (96, 74, 24), (80, 44, 30), (126, 28, 26)]
    for x, y, width in route:
        sheet.oval(x, y, width, width * 0.7, YELLOW)
        sheet.oval(x, y - 1, 4, 4, "#7c6206")
    for x, y, color in (
        (150, 130, GREEN),
        (130, 100, GREEN),
        (164, 80, GREEN),
        (22, 60, "#b04a9b"),
        (24, 110, "#b04a9b"),
    ):
        sheet.oval(x, y, 14, 11, color)
    return sheet.finish()


def running_shoe() -> Image.Image:
    sheet = Sheet("#5a6570")
    sheet.box(18, 136, 178, 152, WHITE, 8)
    sheet.area(
        [(22, 138), (24, 72), (46, 64), (62, 84), (92, 88), (128, 106), (166, 116), (176, 138)], ORANGE
    )
    sheet.area([(132, 108), (166, 116), (176, 138), (128, 138)], "#c95b0c")
    for step in range(4):
        x, y = 74 + step * 15, 86 + step * 6
        sheet.line([(x, y), (x + 12, y - 12)], 4, WHITE)
    sheet.line([(40, 130), (66, 108), (96, 130)], 6, DARK)
    return sheet.finish()


def mountain() -> Image.Image:
    sheet = Sheet(SKY)
    sheet.oval(156, 34, 30, 30, "#fff3b8")
    sheet.area([(0, 150), (44, 84), (92, 150)], "#6e7f92")
    sheet.area([(30, 158), (106, 26), (188, 158)], "#54657a")
    sheet.area([(78, 74), (106, 26), (136, 74), (122, 66), (108, 80), (94, 66)], WHITE)
    sheet.box(0, 148, 192, 192, "#3c6d5a")
    sheet.box(30, 146, 58, 170, RED)
    sheet.area([(26, 148), (44, 130), (62, 148)], DARK)
    return sheet.finish()


def lino_print() -> Image.Image:
    sheet = Sheet(WOOD)
    sheet.box(18, 30, 174, 162, WHITE)
    sheet.area([(134, 96), (164, 66), (158, 96), (164, 126)], DARK)
    sheet.oval(88, 96, 104, 60, DARK)
    sheet.oval(58, 88, 12, 12, WHITE)
    sheet.oval(58, 88, 5, 5, DARK)
    for x in (80, 98, 116):
        sheet.line([(x, 74), (x + 9, 96), (x, 118)], 3, WHITE)
    return sheet.finish()


def umbrella() -> Image.Image:
    sheet = Sheet("#b9c4cf")
    sheet.oval(96, 96, 152, 128, YELLOW)
    sheet.box(14, 100, 178, 164, "#b9c4cf")
    for x in (39, 77, 115, 153):
        sheet.oval(x, 100, 38, 18, "#b9c4cf")
    sheet.line([(96, 100), (96, 150)], 5, BROWN)
    sheet.line([(96, 148), (98, 160), (108, 164), (116, 156)], 5, BROWN)
    for end in (58, 134):
        sheet.line([(96, 33), (end, 92)], 1.5, "#c79a06")
    return sheet.finish()


def bicycle() -> Image.Image:
    sheet = Sheet("#cfe3c3")
    sheet.box(0, 0, 192, 110, "#b5785a")
    sheet.box(70, 10, 122, 110, "#3d5a4a")
    for x in (46, 146):
        sheet.ring(x, 126, 70, 4, DARK)
        for spoke in range(4):
            dx, dy = 32 * math.cos(spoke * math.pi / 4), 32 * math.sin(spoke * math.pi / 4)
            sheet.line([(x - dx, 126 - dy), (x + dx, 126 + dy)], 0.8, "#70757c")
    frame: list[list[Point]] = [
        [(46, 126), (74, 82), (126, 78), (90, 126), (46, 126)],
        [(90, 126), (70, 72)],
        [(146, 126), (122, 62)],
    ]
    for tube in frame:
        sheet.line(tube, 6, RED)
    sheet.line([(122, 62), (136, 56), (142, 64)], 5, DARK)
    sheet.box(56, 66, 84, 74, DARK, 4)
    return sheet.finish()


def clay_bowl() -> Image.Image:
    sheet = table("#dfe7ea")
    sheet.area([(36, 82), (156, 70), (134, 142), (66, 146)], CLAY)
    sheet.oval(100, 144, 68, 14, CLAY)
    sheet.area([(36, 82), (66, 66), (120, 60), (156, 70), (130, 86), (76, 92)], "#8f6446")
    for y in (100, 116, 130):
        sheet.line([(46 + (y - 100) / 2, y), (146 - (y - 100) / 2, y - 6)], 2, "#a17553")
    return sheet.finish()


def bread() -> Image.Image:
    sheet = table("#f3e3c2")
    sheet.box(22, 138, 170, 152, BROWN, 4)
    sheet.oval(96, 108, 132, 78, "#a8672c")
    sheet.oval(96, 100, 118, 58, "#c4813d")
    for x in (66, 90, 114):
        sheet.line([(x, 120), (x + 20, 82)], 6, "#f1d9a8")
    return sheet.finish()


def matcha() -> Image.Image:
    sheet = table("#f4eee6")
    sheet.oval(96, 152, 132, 26, "#e8e2d6")
    sheet.area([(44, 78), (148, 78), (126, 148), (66, 148)], WHITE)
    sheet.oval(96, 148, 60, 14, WHITE)
    sheet.oval(96, 78, 104, 42, WHITE)
    sheet.oval(96, 79, 92, 34, "#86b049")
    sheet.oval(96, 80, 46, 16, "#a9cc72")
    sheet.ring(148, 106, 36, 7, WHITE)
    for x in (78, 100):
        sheet.line([(x, 52), (x + 6, 40), (x, 28), (x + 6, 16)], 3, "#d9d2c6")
    return sheet.finish()


def medal() -> Image.Image:
    sheet = Sheet("#31425e")
    sheet.area([(50, 0), (84, 0), (112, 92), (88, 100)], RED)
    sheet.area([(142, 0), (108, 0), (80, 92), (104, 100)], "#e9e9ee")
    sheet.oval(96, 128, 90, 90, "#d9a520")
    sheet.oval(96, 128, 72, 72, "#f3cf5b")
    star = [
        (96 + radius * math.sin(step * math.pi / 5), 128 - radius * math.cos(step * math.pi / 5))
        for step, radius in enumerate([28, 12] * 5)
    ]
    sheet.area(star, "#b9820f")
    return sheet.finish()


def moving_boxes() -> Image.Image:
    sheet = Sheet("#dcd8cf")
    sheet.box(0, 158, 192, 192, "#a8906f")
    for left, top, side in ((14, 96, 76), (98, 90, 82), (44, 26, 70)):
        sheet.box(left, top, left + side, top + side, "#b8864e")
        sheet.box(left, top, left + side, top + side * 0.18, "#9c6d3a")
        sheet.box(left + side * 0.42, top, left + side * 0.58, top + side, "#dcc08e")
        sheet.box(left + 8, top + side * 0.6, left + 26, top + side * 0.8, WHITE)
    return sheet.finish()


def key() -> Image.Image:
    sheet = Sheet(WALL)
    sheet.ring(62, 74, 60, 12, "#b99a3a")
    sheet.line([(82, 96), (146, 160)], 11, "#b99a3a")
    sheet.line([(126, 140), (140, 126)], 9, "#b99a3a")
    sheet.line([(142, 156), (156, 142)], 9, "#b99a3a")
    sheet.line([(50, 52), (96, 34)], 2, DARK)
    sheet.area([(92, 24), (112, 14), (172, 40), (158, 74), (98, 48)], GREEN)
    sheet.oval(104, 32, 7, 7, WALL)
    return sheet.finish()


def monstera() -> Image.Image:
    sheet = table("#f6efe4")
    leaves = [((58, 62), 62, 46), ((128, 52), 70, 50), ((98, 92), 60, 40)]
    for (x, y), width, height in leaves:
        sheet.line([(96, 140), (x, y)], 3, "#2d6a35")
        sheet.oval(x, y, width, height, GREEN)
        for side in (-1, 1):
            for step in (-0.22, 0.1):
                middle = y + step * height * 1.4
                edge = x + side * width * 0.55
                sheet.area(
                    [(edge, middle - 4), (x + side * width * 0.2, middle), (edge, middle + 4)], "#f6efe4"
                )
        sheet.line([(x, y - height / 2), (x, y + height / 2)], 2, "#2d6a35")
    sheet.area([(66, 132), (126, 132), (118, 178), (74, 178)], "#bf5b3c")
    return sheet.finish()


def bookshelf() -> Image.Image:
    sheet = Sheet("#e9e2d3")
    sheet.box(16, 12, 176, 184, "#6f4a2c")
    colors = [RED, ORANGE, YELLOW, GREEN, BLUE, "#6d3f97"]
    for row in range(3):
        top = 20 + row * 54
        sheet.box(22, top, 170, top + 48, "#4c321d")
        for book in range(10):
            left = 24 + book * 14.6
            height = 44 - (book * 7 + row * 5) % 12
            color = colors[(row * 2 + book // 5) % 6]
            sheet.box(left, top + 48 - height, left + 12.6, top + 48, color)
    return sheet.finish()


def tulips() -> Image.Image:
    sheet = table("#dbe9f2")
    for x, y in ((60, 46), (96, 34), (132, 48), (78, 66), (116, 68)):
        sheet.line([(x, y), (96, 134)], 4, GREEN)
        sheet.oval(x, y, 26, 30, RED)
        sheet.area([(x - 13, y), (x - 12, y - 20), (x, y - 6), (x + 12, y - 20), (x + 13, y)], RED)
    sheet.area([(74, 116), (118, 116), (128, 176), (64, 176)], "#9cc7d8")
    return sheet.finish()


DRAWINGS: tuple[Drawing, ...] = (
    cat, climbing_wall, mug, running_shoe, mountain, lino_print, umbrella, bicycle, clay_bowl, bread,
    matcha, medal, moving_boxes, key, monstera, bookshelf, tulips, mug_turned, mug_at_dusk,
)  # fmt: skip


def main() -> None:
    """Write every drawing as a PNG under its name."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    for drawing in DRAWINGS:
        drawing().quantize(COLORS).save(IMAGES / f"{drawing.__name__}.png", optimize=True)


if __name__ == "__main__":
    main()
