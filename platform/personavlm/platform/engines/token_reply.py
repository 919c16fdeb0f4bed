"""Reads a token engine's output: text for the agent, ids for the conversation, and where it ends.

A reply ends with the model's own end of message. A stop string ends it too, but not at once: the model has
one more token to say that it is done, so that a policy learns to end its messages. Whatever else it says
there was never read by anybody and is forgotten.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

from tokenizers import Tokenizer
from tokenizers.decoders import DecodeStream

from personavlm.platform.engines.base import Sampling, TokenSpan


@dataclass(slots=True)
class TokenReply:
    """One reply under way. Feed it ids as they come until ``done``."""

    tokenizer: Tokenizer
    end: int
    sampling: Sampling
    finish_reason: Literal["", "stop", "length"] = ""
    _ids: list[int] = field(default_factory=list)
    _logprobs: list[float] = field(default_factory=list)
    _versions: list[str] = field(default_factory=list)
    _decoder: DecodeStream = field(default_factory=lambda: DecodeStream(skip_special_tokens=True))
    _text: str = ""
    _stopped: bool = False

    @property
    def done(self) -> bool:
        """Whether nothing more is wanted."""
        return bool(self.finish_reason)

    @property
    def completion_tokens(self) -> int:
        """How many ids were kept."""
        return len(self._ids)

    def feed(self, token: int, logprob: float | None = None, version: str = "") -> str:
        """Take one id; the text that it adds. After ``done`` ids are ignored."""
        if self.done:
            return ""
        if self._stopped and token != self.end:
            self.finish_reason = "stop"
            return ""
        self._ids.append(token)
        self._versions.append(version)
        if logprob is not None:
            self._logprobs.append(logprob)
        if token == self.end:
            self.finish_reason = "stop"
            return ""
        piece = self._piece(token)
        if not self._stopped and len(self._ids) >= self.sampling.max_tokens:
            self.finish_reason = "length"
        return piece

    def close(self) -> None:
        """The engine has no more ids."""
        if not self.done:
            self.finish_reason = "stop" if self._stopped else "length"

    def spans(self) -> list[TokenSpan]:
        """The ids kept, one span for each version of the weights that sampled them."""
        cuts = [i for i in range(1, len(self._ids)) if self._versions[i] != self._versions[i - 1]]
        bounds = [0, *cuts, len(self._ids)]
        return [self._span(a, b) for a, b in pairwise(bounds) if b > a]

    def _span(self, first: int, last: int) -> TokenSpan:
        logprobs = tuple(self._logprobs[first:last])
        return TokenSpan(tuple(self._ids[first:last]), True, logprobs, self._versions[first])

    def _piece(self, token: int) -> str:
        piece = self._decoder.step(self.tokenizer, token) or ""
        known = len(self._text)
        self._text += piece
        longest = max(map(len, self.sampling.stop), default=0)
        end = first_end(self._text, self.sampling.stop, max(0, known - longest))
        if end is not None:
            self._stopped = True
            self._text = self._text[:end]
        return self._text[known:]


def first_end(text: str, stop: Sequence[str], start: int = 0) -> int | None:
    """Where the first stop string behind ``start`` ends in ``text``."""
    ends = (text.find(mark, start) + len(mark) for mark in stop if text.find(mark, start) >= 0)
    return min(ends, default=None)
