"""Conversations as ids, in ChatML, the form that Qwen models are trained on.

Ids are only ever appended. A segment becomes ids once; what the model sampled stays the ids that it sampled,
because a text that is encoded again may give other ids than those whose log-probabilities are known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from personavlm.platform.engines.base import Conversation, Segment, TokenSpan
from personavlm.platform.engines.checkpoint import Checkpoint

START, END = "<|im_start|>", "<|im_end|>"
DEFAULT_SYSTEM = "You are a helpful assistant."  # what Qwen's own chat template says where nobody else does
IMAGE = ("<|vision_start|>", "<|image_pad|>", "<|vision_end|>")


@dataclass(frozen=True, slots=True)
class ChatMl:
    """Renders segments with one checkpoint's tokenizer."""

    checkpoint: Checkpoint

    def continuation(self, conversation: Conversation) -> TokenSpan:
        """The ids that lead from what is rendered to the next reply. Changes nothing.

        An assistant segment right behind a sampled span is that span's text and is not rendered.
        """
        ids: list[int] = []
        new = conversation.segments[conversation.rendered :]
        if conversation.tokens:
            ended = conversation.tokens[-1].ids[-1:] == (self.checkpoint.end,)
            ids += ([] if ended else [self.checkpoint.end]) + self.text("\n")
        elif not new or new[0].role != "system":
            ids += self._segment(Segment("system", DEFAULT_SYSTEM))
        for segment in new:
            ids += self._segment(segment)
        return TokenSpan((*ids, *self.head("assistant")), sampled=False)

    def accept(self, conversation: Conversation, rendered: TokenSpan, sampled: Sequence[TokenSpan]) -> None:
        """Keep what was rendered and sampled; the caller appends the sampled text as next segment."""
        conversation.tokens += [rendered, *sampled]
        conversation.rendered = len(conversation.segments) + 1

    def _segment(self, segment: Segment) -> list[int]:
        body = self.image() * len(segment.images) + self.text(segment.text)
        return [*self.head(segment.role), *body, self.checkpoint.end, *self.text("\n")]

    def head(self, role: str) -> list[int]:
        """What begins a message."""
        return [self.checkpoint.special[START], *self.text(f"{role}\n")]

    def image(self) -> list[int]:
        """One image, however large."""
        return [self.checkpoint.special[token] for token in IMAGE]

    def text(self, text: str) -> list[int]:
        """A text, never a special token."""
        ids: list[int] = self.checkpoint.tokenizer.encode(text, add_special_tokens=False).ids
        return ids
