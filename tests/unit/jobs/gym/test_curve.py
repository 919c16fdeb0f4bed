"""The learning curve: lines where their values are, and nothing that cannot be drawn."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image, ImageColor

from personavlm.jobs.gym.curve import BOTTOM, COLORS, LEFT, RIGHT, SIZE, TOP, plot_curves


def test_a_rising_line_rises(tmp_path: Path) -> None:
    path = tmp_path / "curve.png"
    plot_curves({"reward": [0.0, 0.5, 1.0], "format": [1.0, 1.0, 1.0]}, path, "GRPO", "update")
    with Image.open(path) as image:
        assert image.size == SIZE
        colour = ImageColor.getrgb(COLORS[0])
        heights = {
            x: [y for y in range(TOP, BOTTOM + 1) if image.getpixel((x, y)) == colour]
            for x in (LEFT + 10, (LEFT + RIGHT) // 2, RIGHT - 10)
        }
    left, middle, right = (sum(found) / len(found) for found in heights.values())
    assert left > middle > right


@pytest.mark.parametrize("series", [{}, {"reward": []}, {str(n): [1.0] for n in range(9)}])
def test_what_cannot_be_drawn_is_refused(tmp_path: Path, series: dict[str, list[float]]) -> None:
    with pytest.raises(ValueError, match="series can be drawn"):
        plot_curves(series, tmp_path / "curve.png", "", "")
