"""Rows become the ids that serving gives the same words; what is learned is what would have been sampled."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from personavlm.jobs.data.problems import DataError
from personavlm.jobs.data.rendering import examples
from personavlm.jobs.data.rows import ConversationRow, RowImage, RowTurn
from personavlm.jobs.images import ImageFolder
from personavlm.jobs.trajectories import Example
from personavlm.memory_store.records import ImageRef
from personavlm.platform.engines.base import Conversation, Segment, TokenSpan
from personavlm.platform.engines.chatml import ChatMl
from personavlm.platform.engines.checkpoint import Checkpoint
from tests.tiny_tokenizer import SPECIAL
from tests.unit.jobs.data.samples import png
from tests.unit.platform.token_files import write_files

RED, BLUE = png("red"), png("blue")
texts = st.lists(st.sampled_from((*SPECIAL, "\n", "a", " b", "é", "中")), min_size=1).map("".join) | st.text(
    min_size=1
)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return Checkpoint.open(str(write_files(tmp_path_factory.mktemp("checkpoint") / "tiny")))


def rendered(checkpoint: Checkpoint, *turns: RowTurn) -> Example:
    row = ConversationRow(id="1", kind="test", turns=turns)
    with TemporaryDirectory() as folder:
        (example,) = examples([row], checkpoint, ImageFolder(Path(folder)))
    return example


def text_of(checkpoint: Checkpoint, example: Example, trained: bool | None = None) -> str:
    ids = [id for id, mask in zip(example.ids, example.mask, strict=True) if trained in (None, mask)]
    text: str = checkpoint.tokenizer.decode(ids, skip_special_tokens=False)
    return text


def test_the_sampled_part_of_trained_messages_is_masked(checkpoint: Checkpoint) -> None:
    example = rendered(
        checkpoint,
        RowTurn(role="user", text="When?"),
        RowTurn(role="assistant", text="First", train=True),
        RowTurn(role="user", text="Found."),
        RowTurn(role="assistant", text="Second"),
        RowTurn(role="user", text="Sure?"),
        RowTurn(role="assistant", text="Third", train=True),
    )
    assert text_of(checkpoint, example, trained=True) == "First<|im_end|>Third<|im_end|>"
    assert text_of(checkpoint, example) == (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
        "<|im_start|>user\nWhen?<|im_end|>\n<|im_start|>assistant\nFirst<|im_end|>\n"
        "<|im_start|>user\nFound.<|im_end|>\n<|im_start|>assistant\nSecond<|im_end|>\n"
        "<|im_start|>user\nSure?<|im_end|>\n<|im_start|>assistant\nThird<|im_end|>"
    )


def test_images_stand_where_they_were_put(checkpoint: Checkpoint) -> None:
    images = (RowImage(data=RED), RowImage(data=BLUE, at=3), RowImage(data=RED, at=7))
    example = rendered(
        checkpoint,
        RowTurn(role="user", text="one two", images=images),
        RowTurn(role="assistant", text="ok", train=True),
    )
    image = "<|vision_start|><|image_pad|><|vision_end|>"
    assert f"user\n{image}one{image} two{image}<|im_end|>" in text_of(checkpoint, example)
    assert example.images == tuple(sha256(one).hexdigest() for one in (RED, BLUE, RED))


def test_the_folder_holds_the_images(checkpoint: Checkpoint, tmp_path: Path) -> None:
    (tmp_path / "red.png").write_bytes(RED)
    turns = (
        RowTurn(role="user", text="", images=(RowImage(path=str(tmp_path / "red.png")),)),
        RowTurn(role="assistant", text="ok", train=True),
    )
    folder = ImageFolder(tmp_path / "folder")
    (example,) = examples([ConversationRow(id="1", kind="test", turns=turns)], checkpoint, folder)
    assert folder.read(example.images[0]) == RED
    (tmp_path / "red.png").unlink()
    with pytest.raises(DataError, match=r"red\.png: cannot be read"):
        list(examples([ConversationRow(id="1", kind="test", turns=turns)], checkpoint, folder))


@given(st.lists(texts, min_size=2, max_size=6), st.booleans(), st.integers(0, 2))
@settings(max_examples=100, deadline=None)
def test_serving_gives_the_same_ids(
    checkpoint: Checkpoint, said: list[str], system: bool, images: int
) -> None:
    said = said[: len(said) // 2 * 2]
    turns = [RowTurn(role="system", text="Be kind.")] * system
    for place, text in enumerate(said):
        trained = place % 2 == 1
        held = (RowImage(data=RED),) * images if place == 0 else ()
        turns.append(RowTurn(role="assistant" if trained else "user", text=text, images=held, train=trained))
    example = rendered(checkpoint, *turns)
    spans = served(checkpoint, turns)
    assert example.ids == tuple(id for span in spans for id in span.ids)
    assert example.mask == tuple(span.sampled for span in spans for _ in span.ids)


def served(checkpoint: Checkpoint, turns: Sequence[RowTurn]) -> list[TokenSpan]:
    """What a token engine keeps that samples just these replies."""
    chat, conversation = ChatMl(checkpoint), Conversation([])
    for turn in turns:
        if turn.role == "assistant":
            ids = tuple(checkpoint.tokenizer.encode(turn.text, add_special_tokens=False).ids)
            sampled = TokenSpan((*ids, checkpoint.end), sampled=True)
            chat.accept(conversation, chat.continuation(conversation), [sampled])
        refs = tuple(ImageRef("ab" * 32, "image/png", 28, 28) for _ in turn.images)
        conversation.append(Segment(turn.role, turn.text, refs))
    return conversation.tokens
