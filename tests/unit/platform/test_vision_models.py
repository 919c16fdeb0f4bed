"""CLIP, SigLIP, Grounding DINO with random weights: dimension, model id, length, search in a real store."""

from __future__ import annotations

import importlib.util
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from personavlm.memory_store import (
    Add,
    ImageRef,
    MemoryKind,
    MemoryStore,
    SearchRequest,
    SemanticMemory,
    TurnDraft,
    UserKey,
)
from personavlm.platform.encoders.build import build_detector, build_matcher
from personavlm.platform.encoders.clip import THRESHOLDS, ClipEncoder
from personavlm.platform.encoders.grounding_dino import GroundingDino
from personavlm.platform.errors import WeightsError
from personavlm.platform.media_config import DetectorConfig, ImagesConfig, VisionModelConfig
from tests.unit.memory_store.encoders import WordEncoder
from tests.unit.platform.tiny_models import needs_train, tiny_clip, tiny_grounding_dino, tiny_siglip

USER = UserKey("tenant", "ann")


def picture(colour: str, size: tuple[int, int] = (80, 60)) -> bytes:
    image = Image.new("RGB", size, "white")
    ImageDraw.Draw(image).rectangle((20, 15, 60, 45), fill=colour)
    buffer = BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_clip(tmp_path_factory.mktemp("models") / "clip")


@pytest.mark.train
@needs_train
def test_dimension_and_length_come_from_the_model(clip: Path, tmp_path: Path) -> None:
    siglip = tiny_siglip(tmp_path / "siglip")
    encoders = ClipEncoder("clip", str(clip)), ClipEncoder("siglip", str(siglip))
    assert [encoder.dim for encoder in encoders] == [24, 16]
    for encoder, kind in zip(encoders, ("clip", "siglip"), strict=True):
        vectors = encoder.encode([picture("red"), picture("blue"), picture("red")])
        assert vectors.shape == (3, encoder.dim) and vectors.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
        np.testing.assert_allclose(vectors[0], vectors[2], atol=1e-6)
        assert vectors[0] @ vectors[1] < 0.9999
        assert encoder.encode([]).shape == (0, encoder.dim)
        assert encoder.threshold == THRESHOLDS[kind]


@pytest.mark.train
@needs_train
def test_other_weights_have_another_id(clip: Path, tmp_path: Path) -> None:
    ids = [
        ClipEncoder("clip", str(folder)).model_id
        for folder in (clip, tiny_clip(tmp_path / "same" / "clip"), tiny_clip(tmp_path / "clip", seed=1))
    ]
    assert ids[0] == ids[1] != ids[2]
    assert ids[0].startswith("clip@") and str(clip) not in ids[0]


@pytest.mark.train
@needs_train
def test_bytes_that_are_no_image_are_refused(clip: Path) -> None:
    with pytest.raises(ValueError, match="not a whole image"):
        ClipEncoder("clip", str(clip)).encode([b"no image"])


@pytest.mark.train
@needs_train
def test_what_cannot_be_loaded_is_said(clip: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"images.encoder.model: there is no folder .*nowhere"):
        ClipEncoder("clip", str(tmp_path / "nowhere"))
    with pytest.raises(WeightsError, match=r"images.encoder.model: .* cannot be loaded"):
        ClipEncoder("clip", str(tmp_path))  # a folder without a checkpoint
    with pytest.raises(WeightsError, match=r"type 'clip', not 'siglip'"):
        ClipEncoder("siglip", str(clip))
    with pytest.raises(WeightsError, match=r"images.detector.model"):
        GroundingDino(str(clip))


@pytest.mark.skipif(
    importlib.util.find_spec("torch") is not None, reason="shows what is said where torch is missing"
)
@pytest.mark.parametrize(
    "config",
    [
        ImagesConfig(encoder=VisionModelConfig(kind="clip", model="openai/clip-vit-base-patch32")),
        ImagesConfig(
            detector=DetectorConfig(kind="grounding_dino", model="IDEA-Research/grounding-dino-tiny")
        ),
    ],
)
def test_the_missing_extra_is_named(config: ImagesConfig) -> None:
    with pytest.raises(WeightsError, match=r"images\.\w+\.model: torch.* not installed.*personavlm\[train\]"):
        build_matcher(config, build_detector(config))


@pytest.mark.train
@needs_train
def test_a_detector_finds_a_box_inside_the_image(tmp_path: Path) -> None:
    detector = GroundingDino(str(tiny_grounding_dino(tmp_path)))
    image = picture("blue", (160, 120))
    boxes = [detector.find(image, "The blue mug, please!"), *detector.objects(image)]
    assert len(boxes) == 4  # random weights are sure of everything
    for box in boxes:
        assert box is not None
        assert 0 <= box[0] < box[2] <= 160 and 0 <= box[1] < box[3] <= 120
    with pytest.raises(ValueError, match="not a whole image"):
        detector.find(b"no image", "mug")


def remember(store: MemoryStore, data: bytes, text: str) -> ImageRef:
    ref = store.put_image(USER, data, "image/png", 80, 60)
    turn = store.append_turn(USER, TurnDraft(text, "Noted.", images=(ref,)))
    add = Add(text, turn.event_time, (turn.id,), category="concept", images=(ref,))
    store.apply(USER, MemoryKind.SEMANTIC, f"turn:{turn.id}", [add])
    return ref


def seen(store: MemoryStore, data: bytes) -> list[str]:
    ref = store.put_image(USER, data, "image/png", 80, 60)
    found = store.search(USER, SearchRequest("", image_sha256=(ref.sha256,)))
    return [hit.item.text for hit in found.visual if isinstance(hit.item, SemanticMemory)]


@pytest.mark.train
@needs_train
def test_a_store_searches_by_a_model_and_encodes_anew_for_another(clip: Path, tmp_path: Path) -> None:
    configs = [
        ImagesConfig(encoder=VisionModelConfig(kind="clip", model=str(clip)), match_threshold=0.9999),
        ImagesConfig(
            encoder=VisionModelConfig(kind="siglip", model=str(tiny_siglip(tmp_path / "siglip"))),
            match_threshold=0.9999,
        ),
    ]
    for number, config in enumerate(configs):
        with MemoryStore.open(
            tmp_path / "store", text_encoder=WordEncoder(), image_encoder=build_matcher(config)
        ) as store:
            if number == 0:
                remember(store, picture("blue"), "My blue mug")
                remember(store, picture("red"), "My red mug")
            assert seen(store, picture("blue")) == ["My blue mug"]
            store.index(USER)
        with MemoryStore.open(
            tmp_path / "store", text_encoder=WordEncoder(), image_encoder=build_matcher(config)
        ) as store:
            assert seen(store, picture("red")) == ["My red mug"]  # by the vectors that were stored
