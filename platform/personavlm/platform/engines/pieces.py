"""Stream a text that is there already, as a model would write it."""

import re
from collections.abc import Iterator

from personavlm.platform.engines.base import Chunk, Conversation, Sampling

_WORD = re.compile(r"\s*\S+\s*")


def pieces(text: str, conversation: Conversation, sampling: Sampling) -> Iterator[Chunk]:
    """``text`` up to its first stop string, word by word. Tokens are counted as words."""
    words = _WORD.findall(_until_stop(text, sampling.stop))
    for word in words[:-1]:
        yield Chunk(word)
    prompt_words = sum(len(segment.text.split()) for segment in conversation.segments)
    yield Chunk("".join(words[-1:]), "stop", prompt_words, len(words))


def _until_stop(text: str, stop: tuple[str, ...]) -> str:
    ends = [text.index(mark) + len(mark) for mark in stop if mark in text]
    return text[: min(ends, default=len(text))]
