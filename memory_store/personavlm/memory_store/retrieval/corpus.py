"""One user's texts of one kind as signals see them: words, vectors, tokens, speaker, day, neighbours.

It grows by append, and everything in it is derived data. Counts and rarities are taken at the time of a
search over the texts known then, so nothing here has to be undone for a read of the past.
"""

from dataclasses import dataclass

import numpy as np

from personavlm.memory_store.encoder import Vectors
from personavlm.memory_store.retrieval.arrays import Rows
from personavlm.memory_store.retrieval.cues import Cue, cues_of
from personavlm.memory_store.retrieval.dates import Days, days_in
from personavlm.memory_store.retrieval.lexical import (
    Mask,
    Scores,
    TermTable,
    term_keys,
    terms,
)
from personavlm.memory_store.retrieval.names import Speaker
from personavlm.memory_store.retrieval.tokens import PackedTokens, TokenTable

NO_SESSION = ""
FIRST_DAY = Days(0, 0)


@dataclass(frozen=True, slots=True)
class Passage:
    """A text with its place: who said it in which session, and the days (since 1970-01-01, local to the
    user) that it is of. ``beside`` are words that are searched but not encoded."""

    text: str
    beside: str = ""
    speaker: Speaker = Speaker.NOBODY
    session: str = NO_SESSION
    days: Days = FIRST_DAY


class Corpus:
    """Texts of one kind of one user. Calls must not overlap with ``add``."""

    def __init__(self, dim: int, *, talks: bool = False) -> None:
        self.talks = talks  # whether the texts are messages of a conversation in their order
        self._waiting: dict[int, str] = {}
        self._last = Passage("")
        self._runs = 0
        self.words = TermTable()
        self.vectors: Rows[np.float32] = Rows(np.float32, dim)
        self.tokens = TokenTable()
        self.encoded: Rows[np.bool_] = Rows(np.bool_)
        self.speakers: Rows[np.int8] = Rows(np.int8)
        self.runs: Rows[np.int32] = Rows(np.int32)
        self.cues: Rows[np.int8] = Rows(np.int8)
        self.days: Rows[np.int32] = Rows(np.int32, 2)
        self.named_days: Rows[np.int32] = Rows(np.int32, 3)

    def __len__(self) -> int:
        return len(self.speakers)

    @property
    def nbytes(self) -> int:
        """About how much memory the corpus takes."""
        tables = (self.words, self.vectors, self.tokens, self.encoded)
        more = (self.speakers, self.runs, self.cues, self.days, self.named_days)
        waiting = sum(map(len, self._waiting.values()))
        return waiting + sum(table.nbytes for table in (*tables, *more))

    def add(self, passage: Passage) -> int:
        """Append a text, return its position. It is found by its words until it gets its vectors."""
        position = len(self)
        self.words.append(term_keys(terms(f"{passage.text}\n{passage.beside}")))
        follows = bool(position and passage.session and passage.session == self._last.session)
        self._runs += not follows
        self.runs.append(self._runs)
        self.speakers.append(passage.speaker)
        self.cues.append(cues_of(passage.text))
        self.days.append(passage.days)
        named = days_in(passage.text, passage.days.first)
        self.named_days.extend(np.array([(position, *days) for days in named], np.int32).reshape(-1, 3))
        self._waiting[position] = passage.text
        self.vectors.append(np.zeros(self.vectors.array.shape[1], np.float32))
        self.encoded.append(False)
        self._last = passage
        return position

    def text(self, position: int) -> str:
        """The text at ``position`` while it has no vector. KeyError afterwards."""
        return self._waiting[position]

    def missing(self) -> tuple[int, ...]:
        """Positions of texts without a vector, ascending."""
        return tuple(self._waiting)

    def set_vector(self, position: int, vector: Vectors, tokens: PackedTokens | None = None) -> None:
        """Give the text at ``position`` its ``(dim,)`` unit vector and its tokens, once.

        IndexError beyond the last text.
        """
        self._check(position)
        if self._waiting.pop(position, None) is None:
            return
        self.vectors.array[position] = vector
        self.encoded.array[position] = True
        if tokens is not None:
            self.tokens.set(position, tokens)

    def _check(self, position: int) -> None:
        if not 0 <= position < len(self):
            raise IndexError(f"no text at position {position} of {len(self)}")

    def neighbour(self, distance: int, known: Mask | None = None) -> Mask:
        """``(len,)``: whether the text so many places before (after, if negative) is of the same session,
        and known."""
        runs = self.runs.array
        there: Mask = np.roll(runs, distance) == runs
        if known is not None:
            there &= np.roll(known, distance)
        # What came around the end is no neighbour.
        there[: max(distance, 0)] = False
        there[len(there) + min(distance, 0) :] = False
        return there

    def holds(self, cue: Cue) -> Mask:
        """``(len,)``: which texts hold such a thing."""
        held: Mask = (self.cues.array & np.int8(cue)) != 0
        return held

    def cosines(self, vector: Vectors) -> Scores:
        """``(len,)`` cosine with every text, NaN where a text has no vector."""
        # vecdot stays on this thread: a product by BLAS starts threads that wait on a busy machine's cores.
        products = np.vecdot(self.vectors.array, vector)
        return np.where(self.encoded.array, products, np.float32(np.nan))
