"""Split a completion into its blocks, piece by piece, in whatever pieces it arrives.

A tag that opens inside an unfinished thought or retrieval is tentative: if its own end comes first, it was
the block that the model meant; if the end of what encloses it comes first, it was only talked about. Inside
an answer that opened on its own, every other tag is text, since its words are on their way to the user.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["think", "answer", "retrieve"]
KINDS: tuple[Kind, ...] = ("think", "answer", "retrieve")
_TAGS = tuple(f"<{slash}{kind}>" for kind in KINDS for slash in ("", "/"))
_TAG = re.compile("|".join(_TAGS), re.IGNORECASE | re.ASCII)
_PREFIXES = frozenset(tag[:size] for tag in _TAGS for size in range(1, len(tag)))
_LONGEST = max(map(len, _TAGS))


@dataclass(slots=True)
class _Open:
    """A block that has begun: its tag as written and the text since."""

    kind: Kind
    tag: str
    text: str = ""


@dataclass(slots=True)
class Scanner:
    """What is known of a completion so far.

    ``thinking`` and ``answer`` only ever grow. ``plain`` is text outside all blocks. ``complete`` names the
    action block that was finished, and with it the scan: what follows is not read. ``consumed`` counts the
    characters up to there. ``body`` is the inside of a finished retrieval.
    """

    thinking: str = ""
    plain: str = ""
    answer: str = ""
    body: str = ""
    complete: Literal["", "answer", "retrieve"] = ""
    consumed: int = 0
    thoughts: int = 0
    _open: list[_Open] = field(default_factory=list)
    _held: str = ""

    @property
    def answering(self) -> bool:
        """Whether an answer has begun that can no longer turn into anything else."""
        return self.complete == "answer" or (len(self._open) == 1 and self._open[0].kind == "answer")

    def feed(self, text: str) -> None:
        """Read the next piece. A tag may be spread over any number of pieces."""
        self._held += text
        while self._held and not self.complete:
            tag = _TAG.search(self._held)
            if tag is None:
                self._text(self._take(len(self._held) - _partial_tag(self._held)))
                return
            self._text(self._take(tag.start()))
            self._tag(self._take(len(tag[0])))

    def finish(self) -> None:
        """The text is over: what was held back is text, and what is still open stays unfinished."""
        if self.complete:
            return
        self._text(self._take(len(self._held)))
        if self._open and self._open[0].kind == "think":
            self._fold(0)

    def _take(self, size: int) -> str:
        taken, self._held = self._held[:size], self._held[size:]
        self.consumed += size
        return taken

    def _text(self, text: str) -> None:
        if not self._open:
            self.plain += text
        elif len(self._open) > 1 or self._open[0].kind == "retrieve":
            self._open[-1].text += text
        elif self._open[0].kind == "think":
            self.thinking += text
        else:
            self.answer += text

    def _tag(self, tag: str) -> None:
        kind: Kind = next(kind for kind in KINDS if kind in tag.lower())
        if tag[1] == "/":
            self._end(kind, tag)
        elif self.answering or (kind == "think" and self._open):
            self._text(tag)
        else:
            self._begin(kind, tag)

    def _begin(self, kind: Kind, tag: str) -> None:
        if kind == "think":
            self.thinking += "\n" if self.thoughts else ""
            self.thoughts += 1
        self._open.append(_Open(kind, tag))

    def _end(self, kind: Kind, tag: str) -> None:
        depth = max((i for i, block in enumerate(self._open) if block.kind == kind), default=None)
        if depth is None:
            self._end_of_nothing(kind, tag)
        else:
            self._fold(depth)
            self._close(self._open.pop())

    def _end_of_nothing(self, kind: Kind, tag: str) -> None:
        if self._open:
            self._text(tag)
        elif kind == "think" and not self.thoughts:
            # Some chat templates open the thought for the model, so that only its end is in the text.
            self.thinking, self.plain, self.thoughts = self.plain, "", 1

    def _fold(self, depth: int) -> None:
        """What opened above ``depth`` was only talked about: make it text of the block there."""
        above = "".join(block.tag + block.text for block in self._open[depth + 1 :])
        del self._open[depth + 1 :]
        self._text(above)

    def _close(self, block: _Open) -> None:
        if block.kind == "answer":
            self.complete, self.answer = "answer", self.answer + block.text
        elif block.kind == "retrieve":
            self.complete, self.body = "retrieve", block.text


def _partial_tag(text: str) -> int:
    """How many characters at the end of ``text`` may be the beginning of a tag."""
    start = text.rfind("<", max(0, len(text) - _LONGEST + 1))
    return len(text) - start if start >= 0 and text[start:].lower() in _PREFIXES else 0
