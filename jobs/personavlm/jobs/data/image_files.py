"""The images that rows name: read, and checked without decoding more than their first bytes."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from personavlm.jobs.data.problems import DataError, Problem
from personavlm.jobs.data.rows import ConversationRow, Images, Row, RowImage

FORMATS = ("PNG", "JPEG", "WEBP")
_REMEDY = "Put a PNG, JPEG or WebP file there."


def image_bytes(image: RowImage) -> bytes:
    """The image's file. Raises `DataError` where it cannot be read."""
    if image.data:
        return image.data
    path = Path(image.path or "")
    try:
        return path.read_bytes()
    except OSError as error:
        problem = f"cannot be read ({error.strerror})"
        raise DataError(Problem(path, 0, "", problem, "Put the image there.")) from error


def images_of(row: Row) -> Iterator[tuple[str, Images]]:
    """The row's images by the field that holds them."""
    if isinstance(row, ConversationRow):
        yield from ((f"turns[{place}].images", turn.images) for place, turn in enumerate(row.turns))
    else:
        yield "images", row.images


class ImageCheck:
    """Finds what is wrong with images; each file is looked at once."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def problems(self, row: Row, file: Path, number: int) -> list[Problem]:
        """One problem for each image that cannot be used."""
        return [
            Problem(file, number, f"{field}[{place}]", problem, _REMEDY)
            for field, images in images_of(row)
            for place, image in enumerate(images)
            if (problem := self._problem(image))
        ]

    def _problem(self, image: RowImage) -> str:
        if image.data:
            return _unusable(BytesIO(image.data), "")
        path = image.path or ""
        if path not in self._known:
            self._known[path] = _unusable(path, f"{path} ")
        return self._known[path]


def _unusable(source: str | BytesIO, name: str) -> str:
    try:
        with Image.open(source, formats=FORMATS):
            return ""
    except UnidentifiedImageError:
        return f"{name}is no image in PNG, JPEG or WebP"
    except OSError as error:
        return f"{name}cannot be read ({error.strerror})"
