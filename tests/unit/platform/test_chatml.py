"""Ids of conversations: ChatML, appended to and never rendered again, whatever the texts hold."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from personavlm.memory_store.records import ImageRef
from personavlm.platform.engines.base import Conversation, Sampling, Segment
from personavlm.platform.engines.chatml import ChatMl
from personavlm.platform.engines.checkpoint import Checkpoint
from personavlm.platform.engines.token_reply import TokenReply
from tests.tiny_tokenizer import SPECIAL
from tests.unit.platform.token_files import write_files

IMAGE = ImageRef("ab" * 32, "image/png", 100, 100)
adversarial = st.lists(st.sampled_from((*SPECIAL, "</answer>", "\n", "a", " b", "é", "中", "\u200d"))).map(
    "".join
)
texts = adversarial | st.text()


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return Checkpoint.open(str(write_files(tmp_path_factory.mktemp("checkpoint") / "tiny")))


def text_of(checkpoint: Checkpoint, ids: tuple[int, ...]) -> str:
    decoded: str = checkpoint.tokenizer.decode(list(ids), skip_special_tokens=False)
    return decoded


def test_the_first_prompt_is_chatml(checkpoint: Checkpoint) -> None:
    conversation = Conversation([Segment("system", "Be kind."), Segment("user", "Hello", (IMAGE, IMAGE))])
    span = ChatMl(checkpoint).continuation(conversation)
    image = "<|vision_start|><|image_pad|><|vision_end|>"
    assert text_of(checkpoint, span.ids) == (
        "<|im_start|>system\nBe kind.<|im_end|>\n"
        f"<|im_start|>user\n{image}{image}Hello<|im_end|>\n<|im_start|>assistant\n"
    )


def test_without_a_system_message_qwens_own_is_there(checkpoint: Checkpoint) -> None:
    span = ChatMl(checkpoint).continuation(Conversation([Segment("user", "Hello")]))
    assert text_of(checkpoint, span.ids).startswith(
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
    )


@pytest.mark.parametrize("ended", [True, False])
def test_a_reply_is_followed_by_the_end_of_its_message_once(checkpoint: Checkpoint, ended: bool) -> None:
    chat, conversation = ChatMl(checkpoint), Conversation([Segment("user", "Hello")])
    reply = TokenReply(checkpoint.tokenizer, checkpoint.end, Sampling())
    ids = checkpoint.tokenizer.encode("Hi", add_special_tokens=False).ids
    for token in [*ids, checkpoint.end] if ended else ids:
        reply.feed(token)
    reply.close()
    chat.accept(conversation, chat.continuation(conversation), reply.spans())
    conversation.append(Segment("assistant", "Hi"))
    conversation.append(Segment("user", "Again"))
    whole = (*conversation.ids, *chat.continuation(conversation).ids)
    assert text_of(checkpoint, whole).endswith(
        "<|im_start|>assistant\nHi<|im_end|>\n<|im_start|>user\nAgain<|im_end|>\n<|im_start|>assistant\n"
    )


@given(st.lists(st.tuples(texts, texts, st.integers(0, 2)), min_size=1, max_size=4), st.data())
def test_ids_are_only_appended_and_texts_hold_no_special_id(
    checkpoint: Checkpoint, rounds: list[tuple[str, str, int]], data: st.DataObject
) -> None:
    """The law behind token exactness, with sampled ids that no text would ever give."""
    chat, conversation = ChatMl(checkpoint), Conversation([])
    plain = [i for i in range(checkpoint.tokenizer.get_vocab_size()) if i not in checkpoint.banned()]
    said = 0
    for text, reply, images in rounds:
        conversation.append(Segment("user", text, (IMAGE,) * images))
        before = conversation.ids
        rendered = chat.continuation(conversation)
        sampled = TokenReply(checkpoint.tokenizer, checkpoint.end, Sampling())
        for token in data.draw(st.lists(st.sampled_from(plain), min_size=1, max_size=5)):
            sampled.feed(token)
        sampled.close()
        chat.accept(conversation, rendered, sampled.spans())
        kept = tuple(i for span in sampled.spans() for i in span.ids)
        assert conversation.ids == before + rendered.ids + kept
        conversation.append(Segment("assistant", reply))
        said += kept.count(checkpoint.end)
    pads = conversation.ids.count(checkpoint.special["<|image_pad|>"])
    assert pads == len(conversation.images) == sum(images for *_, images in rounds)
    # each message begins once, and each of ours ends once; a system message comes before the first
    assert conversation.ids.count(checkpoint.special["<|im_start|>"]) == 2 * len(rounds) + 1
    ends = conversation.ids.count(checkpoint.end)
    assert 2 * len(rounds) <= ends <= 2 * len(rounds) + 1
