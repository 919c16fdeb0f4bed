"""The image descriptor on drawn pictures: variants of one picture against other pictures."""

from collections.abc import Callable
from contextlib import suppress
from io import BytesIO
from itertools import combinations
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageEnhance

from personavlm.memory_store.encoder import ImageEncoder, Vectors
from personavlm.platform.encoders.image_descriptor import ImageDescriptor

SIZE = (240, 200)


def canvas(background: str) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    image = Image.new("RGB", SIZE, background)
    return image, ImageDraw.Draw(image)


def mug(background: str, body: str, drink: str) -> Image.Image:
    image, draw = canvas(background)
    draw.arc((140, 70, 200, 140), -90, 90, body, 14)
    draw.rectangle((60, 60, 160, 170), fill=body)
    draw.ellipse((60, 45, 160, 80), fill=drink, outline=body, width=5)
    return image


def glass(background: str, drink: str) -> Image.Image:
    image, draw = canvas(background)
    draw.polygon([(80, 30), (160, 30), (145, 180), (95, 180)], fill="#eef6fa", outline="#8899aa")
    draw.polygon([(84, 70), (156, 70), (145, 178), (95, 178)], fill=drink)
    draw.line((130, 10, 115, 120), fill="#d04050", width=6)
    return image


def house(wall: str, roof: str) -> Image.Image:
    image, draw = canvas("#9fd0ff")
    draw.rectangle((0, 150, 240, 200), fill="#5a9c4a")
    draw.rectangle((60, 90, 180, 175), fill=wall)
    draw.polygon([(45, 92), (120, 35), (195, 92)], fill=roof)
    draw.rectangle((105, 125, 135, 175), fill="#5b3a29")
    return image


def tree() -> Image.Image:
    image, draw = canvas("#bfe3ff")
    draw.rectangle((0, 165, 240, 200), fill="#79a858")
    draw.rectangle((110, 100, 130, 175), fill="#6b4423")
    draw.ellipse((65, 25, 175, 125), fill="#2f7d32")
    return image


def bicycle(frame: str) -> Image.Image:
    image, draw = canvas("#e9e4da")
    for x in (35, 135):
        draw.ellipse((x, 100, x + 70, 170), outline="#222222", width=5)
    draw.line([(70, 135), (100, 80), (155, 80), (120, 135), (70, 135)], fill=frame, width=6)
    draw.line([(170, 135), (150, 60), (170, 58)], fill=frame, width=6)
    return image


def cat(fur: str) -> Image.Image:
    image, draw = canvas("#d8c7b0")
    draw.ellipse((70, 60, 170, 160), fill=fur)
    draw.polygon([(75, 85), (80, 35), (115, 65)], fill=fur)
    draw.polygon([(165, 85), (160, 35), (125, 65)], fill=fur)
    for x in (95, 130):
        draw.ellipse((x, 90, x + 15, 108), fill="#3c8c40")
    return image


def violin() -> Image.Image:
    image, draw = canvas("#f2efe8")
    draw.ellipse((85, 100, 155, 160), fill="#8a3b12")
    draw.ellipse((80, 130, 160, 195), fill="#8a3b12")
    draw.rectangle((114, 15, 126, 120), fill="#2b1a10")
    return image


def book(cover: str) -> Image.Image:
    image, draw = canvas("#cfc4b2")
    draw.rectangle((60, 30, 180, 175), fill=cover, outline="#333333", width=3)
    draw.rectangle((80, 55, 160, 75), fill="#f5e9c8")
    draw.line((72, 32, 72, 173), fill="#333333", width=3)
    return image


def chart() -> Image.Image:
    image, draw = canvas("#ffffff")
    for i, height in enumerate((40, 90, 60, 130, 110)):
        draw.rectangle((30 + 38 * i, 180 - height, 55 + 38 * i, 180), fill="#3465a4")
    draw.line((20, 10, 20, 182, 230, 182), fill="#000000", width=3)
    return image


def night_sky() -> Image.Image:
    image, draw = canvas("#0b1030")
    draw.ellipse((160, 25, 205, 70), fill="#f4f0c0")
    for i in range(40):
        x, y = (i * 83) % 240, (i * 47) % 200
        draw.ellipse((x, y, x + 3, y + 3), fill="#ffffff")
    return image


def beach() -> Image.Image:
    image, draw = canvas("#8ecbff")
    draw.rectangle((0, 80, 240, 140), fill="#1f7fb8")
    draw.rectangle((0, 140, 240, 200), fill="#ead9a0")
    draw.ellipse((20, 15, 60, 55), fill="#ffe45c")
    return image


PICTURES: dict[str, Image.Image] = {
    "coffee": mug("#d9cbb8", "#ffffff", "#4b2a16"),
    "matcha": mug("#d9cbb8", "#ffffff", "#7fae45"),
    "blue mug": mug("#d9cbb8", "#2b5fa8", "#4b2a16"),
    "lemonade": glass("#d9cbb8", "#f2d94e"),
    "beet juice": glass("#d9cbb8", "#8e1b4f"),
    "red-roofed house": house("#f0e0c0", "#b03020"),
    "blue house": house("#7f9fd0", "#404850"),
    "tree": tree(),
    "red bicycle": bicycle("#c02020"),
    "green bicycle": bicycle("#208040"),
    "ginger cat": cat("#d8812f"),
    "black cat": cat("#26221f"),
    "violin": violin(),
    "green book": book("#2f6b3c"),
    "red book": book("#a52a2a"),
    "chart": chart(),
    "night sky": night_sky(),
    "beach": beach(),
}


def png(image: Image.Image) -> bytes:
    return encoded(image, "PNG")


def encoded(image: Image.Image, form: str, quality: int = 90) -> bytes:
    buffer = BytesIO()
    image.save(buffer, form, quality=quality)
    return buffer.getvalue()


def cropped(image: Image.Image, left: float, top: float, right: float, bottom: float) -> Image.Image:
    width, height = image.size
    return image.crop((int(left * width), int(top * height), int(right * width), int(bottom * height)))


VARIANTS: dict[str, Callable[[Image.Image], bytes]] = {
    "smaller": lambda image: png(image.resize((96, 80))),
    "larger": lambda image: png(image.resize((720, 600))),
    "other aspect": lambda image: png(image.resize((240, 240))),
    "JPEG 40": lambda image: encoded(image, "JPEG", 40),
    "WebP 50": lambda image: encoded(image, "WEBP", 50),
    "cropped": lambda image: png(cropped(image, 0.05, 0.05, 0.95, 0.95)),
    "shifted": lambda image: png(cropped(image, 0.08, 0.06, 1, 1)),
    "darker": lambda image: png(ImageEnhance.Brightness(image).enhance(0.7)),
    "brighter": lambda image: png(ImageEnhance.Brightness(image).enhance(1.2)),
    "all at once": lambda image: encoded(
        ImageEnhance.Brightness(cropped(image, 0.03, 0.03, 0.98, 0.98).resize((150, 120))).enhance(0.85),
        "JPEG",
        60,
    ),
}

DESCRIPTOR = ImageDescriptor()


def scene(seed: int) -> Image.Image:
    """One to four shapes at random; the descriptor was not set on these."""
    random = Random(seed)
    image, draw = canvas(random.choice(["#d9cbb8", "#ffffff", "#9fd0ff", "#303040", "#cfc4b2", "#79a858"]))
    for _ in range(random.randint(1, 4)):
        x, y = random.randint(20, 130), random.randint(20, 110)
        width, height = random.randint(30, 100), random.randint(30, 90)
        colour = tuple(random.randint(20, 240) for _ in range(3))
        corners = (x, y, x + width, y + height)
        match random.randint(0, 2):
            case 0:
                draw.ellipse(corners, fill=colour)
            case 1:
                draw.rectangle(corners, fill=colour)
            case _:
                draw.polygon([(x, y + height), (x + width // 2, y), (x + width, y + height)], fill=colour)
    return image


def describe(data: bytes) -> Vectors:
    return np.asarray(DESCRIPTOR.encode([data])[0], np.float32)


def test_is_an_image_encoder() -> None:
    seam: ImageEncoder = DESCRIPTOR
    vectors = seam.encode([png(image) for image in PICTURES.values()])
    assert vectors.shape == (len(PICTURES), seam.dim)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert seam.encode([]).shape == (0, seam.dim)
    assert seam.model_id


@pytest.mark.parametrize("variant", VARIANTS)
def test_variants_of_a_picture_are_above_the_threshold(variant: str) -> None:
    below = {
        name: cosine
        for name, picture in PICTURES.items()
        if (cosine := float(describe(png(picture)) @ describe(VARIANTS[variant](picture))))
        < DESCRIPTOR.threshold
    }
    assert not below


def test_different_things_are_below_the_threshold() -> None:
    vectors = {name: describe(png(picture)) for name, picture in PICTURES.items()}
    above = [
        pair
        for pair in combinations(vectors, 2)
        if vectors[pair[0]] @ vectors[pair[1]] >= DESCRIPTOR.threshold
    ]
    assert not above


def test_threshold_holds_for_scenes_that_it_was_not_set_on() -> None:
    scenes = [scene(seed) for seed in range(40)]
    vectors = DESCRIPTOR.encode([png(image) for image in scenes])
    same = np.array(
        [
            vector @ describe(variant(image))
            for vector, image in zip(vectors, scenes, strict=True)
            for variant in VARIANTS.values()
        ]
    )
    different = (vectors @ vectors.T)[np.triu_indices(len(scenes), 1)]
    assert (same >= DESCRIPTOR.threshold).mean() > 0.97
    assert different.max() < DESCRIPTOR.threshold


@pytest.mark.parametrize("mode", ["L", "P", "1", "CMYK", "RGBA", "LA"])
def test_every_mode_of_image_is_described(mode: str) -> None:
    image = PICTURES["tree"].convert("L" if mode == "LA" else "RGB").convert(mode)
    vector = describe(encoded(image, "JPEG" if mode == "CMYK" else "PNG"))
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("colour", ["black", "white", "#808080", "#ff0000"])
def test_a_plain_surface_is_described(colour: str) -> None:
    vector = describe(png(Image.new("RGB", (1, 1), colour)))
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-6)


def test_transparent_is_white() -> None:
    cut_out = Image.new("RGBA", SIZE, (0, 0, 0, 0))
    ImageDraw.Draw(cut_out).ellipse((60, 50, 180, 150), fill="#c02020")
    on_white, draw = canvas("white")
    draw.ellipse((60, 50, 180, 150), fill="#c02020")
    np.testing.assert_allclose(describe(png(cut_out)), describe(png(on_white)), atol=1e-3)


def test_a_photograph_is_turned_upright() -> None:
    upright = PICTURES["red-roofed house"]
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: to be turned a quarter clockwise
    buffer = BytesIO()
    upright.transpose(Image.Transpose.ROTATE_90).save(buffer, "PNG", exif=exif)
    assert describe(buffer.getvalue()) @ describe(png(upright)) > 0.999


@pytest.mark.parametrize("data", [b"", b"no image", png(PICTURES["tree"])[:300]])
def test_bytes_that_are_no_image(data: bytes) -> None:
    with pytest.raises(ValueError, match="not a whole image"):
        DESCRIPTOR.encode([data])


@given(st.sampled_from(["PNG", "JPEG", "WEBP"]), st.integers(8, 400), st.binary(min_size=1, max_size=6))
@settings(deadline=None)
@pytest.mark.filterwarnings("default")  # a damaged header may be warned of: what counts is how it ends
def test_damaged_images_are_described_or_refused(form: str, place: int, damage: bytes) -> None:
    data = bytearray(encoded(PICTURES["tree"].resize((60, 50)), form))
    data[place : place + len(damage)] = damage
    with suppress(ValueError):
        assert np.isfinite(describe(bytes(data))).all()


def test_an_image_that_would_fill_the_memory() -> None:
    buffer = BytesIO()
    Image.new("1", (10_000, 6_000)).save(buffer, "PNG")
    with pytest.raises(ValueError, match="10000 x 6000 pixels"):
        DESCRIPTOR.encode([buffer.getvalue()])
