"""Concepts are cut out of images where a detector finds them, and found again by what was cut."""

from __future__ import annotations

import json
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from personavlm.memory_store import (
    ImageRef,
    MemoryKind,
    MemoryStore,
    NotFoundError,
    SearchRequest,
    SemanticMemory,
    TurnDraft,
    Window,
)
from personavlm.platform.encoders.crops import MARGIN, Box, cut, framed
from personavlm.platform.encoders.image_descriptor import ImageDescriptor
from personavlm.platform.encoders.image_matcher import ImageMatcher
from personavlm.platform.encoders.pretrained import upright
from personavlm.platform.updates import UpdateStage
from tests.unit.memory_store.encoders import WordEncoder
from tests.unit.platform.update_workbench import START, USER, WALL, Rows, TaskEngine

COLOURS = {"mug": (43, 95, 168), "cap": (200, 40, 40)}


class ColourDetector:
    """Knows things by their colours; real, only simple."""

    def find(self, image: bytes, phrase: str) -> Box | None:
        for name, colour in COLOURS.items():
            if name in phrase:
                return self._box(image, colour)
        return None

    def objects(self, image: bytes) -> Sequence[Box]:
        return [box for colour in COLOURS.values() if (box := self._box(image, colour))]

    def _box(self, image: bytes, colour: tuple[int, int, int]) -> Box | None:
        picture = upright(image)
        rows, columns = np.nonzero((np.asarray(picture) == colour).all(axis=2))
        if not len(rows):
            return None
        return framed((columns.min(), rows.min(), columns.max() + 1, rows.max() + 1), picture)


def scene(background: str, *things: tuple[str, int, int]) -> bytes:
    """A large room with small things in it."""
    image = Image.new("RGB", (400, 300), background)
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 200, 400, 300), fill="#775533")
    for name, x, y in things:
        colour = COLOURS[name]
        draw.rectangle((x, y, x + 50, y + 60), fill=colour)
        if name == "mug":
            draw.ellipse((x + 15, y + 20, x + 35, y + 40), fill="white")
    buffer = BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def extract(rows: Rows) -> str:
    turn = rows["turn"][0]
    if not turn["user"].startswith("This is my"):
        return '{"operations": []}'
    add = {"op": "add", "text": turn["user"], "category": "concept", "shown": True, "evidence": [turn["id"]]}
    return json.dumps({"operations": [add | {"object": turn["user"].split()[-1]}]})


@pytest.fixture
def store(tmp_path: Path) -> MemoryStore:
    matcher = ImageMatcher(ImageDescriptor(), ColourDetector())
    return MemoryStore.open(tmp_path, text_encoder=WordEncoder(), image_encoder=matcher, clock=lambda: WALL)


async def tell(
    store: MemoryStore, text: str, *images: bytes, detector: ColourDetector | None
) -> tuple[list[ImageRef], SemanticMemory]:
    refs = [store.put_image(USER, data, "image/png", 400, 300) for data in images]
    store.append_turn(USER, TurnDraft(text, "Nice.", START, images=tuple(refs)))
    stage = UpdateStage(store, TaskEngine({"semantic": extract}), clock=lambda: WALL, detector=detector)
    await stage.run(USER)
    [memory] = store.memories(USER, MemoryKind.SEMANTIC)
    assert isinstance(memory, SemanticMemory)
    return refs, memory


async def test_the_named_thing_is_cut_out(store: MemoryStore) -> None:
    room = scene("#e8e0d0", ("mug", 100, 120), ("cap", 260, 130))
    with store:
        [whole], memory = await tell(store, "This is my mug", room, detector=ColourDetector())
        [image], [crop] = memory.images, memory.crops
        assert image.sha256 == crop.sha256 != whole.sha256 == crop.source
        wide, high = round(MARGIN * 51), round(MARGIN * 61)
        assert crop.box == (100 - wide, 120 - high, 151 + wide, 181 + high)
        assert (image.width, image.height) == (51 + 2 * wide, 61 + 2 * high)
        png = store.image(USER, image.sha256)
        assert png == cut(room, crop.box)[0] and upright(png).size == (image.width, image.height)


async def test_a_crop_is_found_in_another_room(store: MemoryStore) -> None:
    with store:
        room = scene("#e8e0d0", ("mug", 100, 120))
        await tell(store, "This is my mug", room, detector=ColourDetector())
        later = store.put_image(USER, scene("#304050", ("cap", 30, 40), ("mug", 280, 60)), "image/png", 1, 1)
        none = store.put_image(USER, scene("#304050", ("cap", 30, 40)), "image/png", 1, 1)
        found = [
            [hit.score for hit in store.search(USER, SearchRequest("", image_sha256=(ref.sha256,))).visual]
            for ref in (later, none)
        ]
        assert len(found[0]) == 1 and not found[1]


@pytest.mark.parametrize(
    ("text", "detector"), [("This is my mug", None), ("This is my teapot", ColourDetector())]
)
async def test_the_image_stays_whole_where_nothing_is_found(
    store: MemoryStore, text: str, detector: ColourDetector | None
) -> None:
    with store:
        [whole], memory = await tell(store, text, scene("white", ("mug", 100, 120)), detector=detector)
        assert memory.images == (whole,) and memory.crops == ()


async def test_of_several_images_those_that_show_the_thing_are_kept(store: MemoryStore) -> None:
    rooms = scene("white", ("cap", 40, 50)), scene("#e8e0d0", ("mug", 100, 120))
    with store:
        refs, memory = await tell(store, "This is my mug", *rooms, detector=ColourDetector())
        assert [crop.source for crop in memory.crops] == [refs[1].sha256] and len(memory.images) == 1


async def test_a_crop_goes_with_its_memory_and_the_image_with_its_turn(store: MemoryStore) -> None:
    room = scene("white", ("mug", 100, 120))
    with store:
        [whole], memory = await tell(store, "This is my mug", room, detector=ColourDetector())
        receipt = store.eraser.erase_memory(USER, memory.id)
        assert receipt.images == 1 and store.image(USER, whole.sha256) == room
        with pytest.raises(NotFoundError):
            store.image(USER, memory.images[0].sha256)


async def test_both_go_with_the_turn(store: MemoryStore) -> None:
    with store:
        room = scene("white", ("mug", 100, 120))
        [whole], memory = await tell(store, "This is my mug", room, detector=ColourDetector())
        assert store.eraser.erase_range(USER, Window(START, START)).images == 2
        for sha256 in (whole.sha256, memory.images[0].sha256):
            with pytest.raises(NotFoundError):
                store.image(USER, sha256)


def test_a_box_at_the_edge_stays_inside_and_a_speck_is_nothing() -> None:
    picture = Image.new("RGB", (100, 80))
    assert framed((0, 0, 40, 40), picture) == (0, 0, 46, 46)
    assert framed((60, 50, 100, 80), picture) == (54, 46, 100, 80)
    assert framed((10, 10, 13, 60), picture) is None
