"""What is checked before a model sees a conversation: vLLM itself would take all of this without a word."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from personavlm.memory_store.records import ImageRef
from personavlm.platform.engine_config import TransformersEngineConfig
from personavlm.platform.engines.base import Conversation, Sampling, Segment, TokenSpan
from personavlm.platform.engines.checkpoint import Checkpoint
from personavlm.platform.engines.token_prompt import TokenPrompt
from personavlm.platform.errors import ContextOverflow, EngineError
from tests.unit.platform.token_files import write_files

IMAGE = ImageRef("ab" * 32, "image/png", 280, 140)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return Checkpoint.open(str(write_files(tmp_path_factory.mktemp("checkpoint") / "tiny")))


async def load(ref: ImageRef) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (ref.width, ref.height), "red").save(data, "PNG")
    return data.getvalue()


async def prompt(
    checkpoint: Checkpoint, conversation: Conversation, sampling: Sampling | None = None, **others: int
) -> TokenPrompt:
    config = TransformersEngineConfig(kind="transformers", model="tiny", **({"context_tokens": 512} | others))
    return await TokenPrompt.of(conversation, sampling or Sampling(), checkpoint, config)


async def test_an_image_counts_with_its_real_length(checkpoint: Checkpoint) -> None:
    found = await prompt(checkpoint, Conversation([Segment("user", "look", (IMAGE,))], load))
    assert found.ids.count(checkpoint.special["<|image_pad|>"]) == len(found.images) == 1
    assert found.length == len(found.ids) - 1 + 10 * 5
    assert found.max_tokens == 512 - found.length


@pytest.mark.parametrize("places", [0, 2])
async def test_places_that_do_not_match_the_images_are_refused(checkpoint: Checkpoint, places: int) -> None:
    pads = (checkpoint.special["<|image_pad|>"],) * places
    read = [TokenSpan(pads, sampled=False), TokenSpan((checkpoint.end,), sampled=True)]
    conversation = Conversation([Segment("user", "look", (IMAGE,)), Segment("assistant", "")], load)
    conversation.tokens, conversation.rendered = read, 2
    with pytest.raises(EngineError, match="do not match the places"):
        await prompt(checkpoint, conversation)


async def test_too_many_images_are_refused(checkpoint: Checkpoint) -> None:
    with pytest.raises(EngineError, match=r"2 images in one conversation; engine\.max_images is 1"):
        await prompt(checkpoint, Conversation([Segment("user", "look", (IMAGE,) * 2)], load), max_images=1)


async def test_the_reserve_and_the_shortest_reply_must_fit(checkpoint: Checkpoint) -> None:
    conversation = Conversation([Segment("user", "hello")], load)
    length = (await prompt(checkpoint, conversation)).length
    room = 512 - length
    fitting = await prompt(checkpoint, conversation, Sampling(max_tokens=64, reserve=room - 64))
    assert fitting.max_tokens == 64
    with pytest.raises(ContextOverflow) as refused:
        await prompt(checkpoint, conversation, Sampling(max_tokens=64, reserve=room - 63))
    assert refused.value.excess == 1
    assert conversation.tokens == []
