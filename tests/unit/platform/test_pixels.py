"""Sizes of images: multiples of a patch, within the budget, and stable."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from personavlm.platform.engines.checkpoint import MIN_IMAGE_TOKENS
from personavlm.platform.engines.pixels import decode, fitted, image_tokens
from personavlm.platform.errors import EngineError

PATCH, BUDGET = 28, 230_400
edges = st.integers(1, 4000)


@given(edges, edges)
def test_every_image_fits_and_fitting_again_changes_nothing(width: int, height: int) -> None:
    if max(width, height) > 200 * min(width, height):
        with pytest.raises(EngineError, match="too narrow"):
            fitted(width, height, PATCH, BUDGET)
        return
    size = fitted(width, height, PATCH, BUDGET)
    assert all(edge % PATCH == 0 and edge > 0 for edge in size)
    assert size[0] * size[1] <= max(BUDGET, PATCH * max(size))
    assert size[0] * size[1] >= MIN_IMAGE_TOKENS * PATCH * PATCH
    assert fitted(*size, PATCH, BUDGET) == size


def test_a_picture_becomes_as_many_tokens_as_its_size_says() -> None:
    data = io.BytesIO()
    Image.new("RGBA", (300, 200), "red").save(data, "PNG")
    image = decode(data.getvalue(), PATCH, BUDGET)
    assert image.mode == "RGB" and image.size == (308, 196) and image_tokens(image, PATCH) == 11 * 7


def test_what_is_no_image_is_an_error() -> None:
    with pytest.raises(EngineError, match="cannot be decoded"):
        decode(b"no picture", PATCH, BUDGET)
