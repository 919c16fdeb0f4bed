"""A thing shown once is known weeks later, and with it the story that was told: on the demo's history."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from personavlm.deployments.demo import draw_images
from personavlm.memory_store import (
    Context,
    EpisodicMemory,
    ImageRef,
    MemoryKind,
    MemoryStore,
    SearchRequest,
    SearchResult,
    SemanticMemory,
    TurnDraft,
    UserKey,
)
from personavlm.platform.agent.loop import Agent
from personavlm.platform.agent.types import Message, Outcome, StepTrace
from personavlm.platform.encoders.build import build_matcher
from personavlm.platform.encoders.minilm import MiniLmEncoder
from personavlm.platform.engines.rules.engine import RulesEngine
from personavlm.platform.histories import History, load
from personavlm.platform.media_config import ImagesConfig, VisionModelConfig
from personavlm.platform.updates import UpdateStage
from tests.unit.platform.tiny_models import needs_train, tiny_clip

USER = UserKey("tenant", "the demo's")
FOLDER = Path(draw_images.__file__).parent / "history"
UNTIL = datetime.fromisoformat("2026-04-05T00:00:00+02:00")  # four weeks after the mug was shown


@dataclass(frozen=True)
class Remembered:
    """A store that the agent may ask."""

    store: MemoryStore

    async def context(self, user: UserKey, now: datetime) -> Context:
        return self.store.context(user, now)

    async def search(self, user: UserKey, request: SearchRequest) -> SearchResult:
        return self.store.search(user, request)

    async def image(self, user: UserKey, sha256: str) -> bytes:
        return self.store.image(user, sha256)

    def photo(self, data: bytes) -> ImageRef:
        with Image.open(BytesIO(data)) as image:
            size = image.size
        return self.store.put_image(USER, data, "image/png", *size)

    def mug(self) -> SemanticMemory:
        [turn] = [turn for turn in self.store.turns(USER) if turn.client_id == "turn-012"]
        concepts = [
            memory
            for memory in self.store.memories(USER, MemoryKind.SEMANTIC)
            if isinstance(memory, SemanticMemory) and memory.evidence == (turn.id,) and memory.images
        ]
        [concept] = concepts
        return concept


async def live_through(store: MemoryStore, history: History, until: datetime) -> None:
    remembered = Remembered(store)
    stage = UpdateStage(store, RulesEngine())
    for turn in history.turns:
        if turn.event_time >= until:
            break
        refs = tuple(remembered.photo(Path(image.path).read_bytes()) for image in turn.images)
        store.append_turn(
            USER,
            TurnDraft(turn.user_text, turn.assistant_text, turn.event_time, refs, client_id=turn.id),
        )
    await stage.close_sessions(USER, until)
    await stage.run(USER)


def lived(path: Path, images: ImagesConfig, until: datetime) -> Iterator[Remembered]:
    [history] = load(FOLDER / "history.json", "personavlm")
    matcher = build_matcher(images)
    with MemoryStore.open(path, text_encoder=MiniLmEncoder(), image_encoder=matcher) as store:
        asyncio.run(live_through(store, history, until))
        yield Remembered(store)


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Remembered]:
    yield from lived(tmp_path_factory.mktemp("store"), ImagesConfig(), UNTIL)


async def ask(life: Remembered, text: str, photo: ImageRef) -> tuple[str, set[str]]:
    """The answer, and everything that was found on the way to it."""
    message = Message(USER, text, UNTIL + timedelta(hours=10), (photo,))
    found, answer = set[str](), ""
    async for event in Agent(RulesEngine(), life).run(message):
        if isinstance(event, StepTrace):
            found |= set(event.found)
        if isinstance(event, Outcome):
            answer = event.answer
    return answer, found


@pytest.mark.parametrize("photo", ["mug_turned", "mug_at_dusk"])
async def test_another_photo_of_the_mug_brings_back_where_it_came_from(life: Remembered, photo: str) -> None:
    concept = life.mug()
    ref = life.photo((FOLDER / "images" / f"{photo}.png").read_bytes())
    assert ref.sha256 not in {image.sha256 for image in concept.images}
    answer, found = await ask(life, "Where did I get this?", ref)
    assert concept.id in found and set(concept.evidence) & found
    assert "flea market in Delft" in answer


async def test_the_episode_of_that_day_is_found_too(life: Remembered) -> None:
    concept = life.mug()
    ref = life.photo((FOLDER / "images" / "mug_turned.png").read_bytes())
    request = SearchRequest("mug, flea market", "Where did I get this?", image_sha256=(ref.sha256,))
    result = life.store.search(USER, request)
    assert concept.id in {hit.item.id for hit in result.visual}
    episodes = [hit.item for hit in result.episodic if isinstance(hit.item, EpisodicMemory)]
    assert any(set(concept.evidence) <= set(episode.evidence) for episode in episodes)


async def test_a_thing_that_was_never_shown_is_not_recognised(life: Remembered) -> None:
    for question in ("Where did I get this?", "How much did I pay for this?"):
        ref = life.photo((FOLDER / "images" / "medal.png").read_bytes())  # shown in May
        answer, _ = await ask(life, question, ref)
        assert "do not recognise" in answer


@pytest.mark.parametrize("photo", ["umbrella", "cat", "bicycle"])
def test_a_photo_of_something_else_does_not_bring_the_mug(life: Remembered, photo: str) -> None:
    ref = life.photo((FOLDER / "images" / f"{photo}.png").read_bytes())
    result = life.store.search(USER, SearchRequest("", image_sha256=(ref.sha256,)))
    assert life.mug().id not in {hit.item.id for hit in result.visual}


@pytest.mark.train
@needs_train
def test_a_model_of_random_weights_goes_the_same_way(tmp_path: Path) -> None:
    encoder = VisionModelConfig(kind="clip", model=str(tiny_clip(tmp_path / "clip")))
    images = ImagesConfig(encoder=encoder, match_threshold=0.9999)
    soon = datetime.fromisoformat("2026-03-08T00:00:00+01:00")
    for life in lived(tmp_path / "store", images, soon):
        with Image.open(FOLDER / "images" / "mug.png") as image:
            buffer = BytesIO()
            image.convert("RGB").save(buffer, "PNG", optimize=False)  # other bytes, the same pixels
        ref = life.photo(buffer.getvalue())
        assert ref.sha256 != life.mug().images[0].sha256
        _, found = asyncio.run(ask(life, "Where did I get this?", ref))
        assert life.mug().id in found
