"""The older turns of a very heavy user: a short list of them in memory, the turns themselves in the table.

The list takes about 500 bytes a turn and answers what can be asked without a text: whether a turn is there,
which turn has a client's id, how many there were by some time. Whatever is shown is read when asked for.
The first search adds what turns are found by: 8 bytes for each word, and the vectors in half precision.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from heapq import nlargest
from typing import Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from personavlm.memory_store.encoder import Vectors
from personavlm.memory_store.queries import AsOf, Window
from personavlm.memory_store.records import Turn
from personavlm.memory_store.retrieval.lexical import TermTable
from personavlm.memory_store.times import microseconds

LISTED = ("id", "index", "session", "event_time", "recorded_at", "client_id")
LISTED_BYTES = 500
"""What one turn takes in the list: its id and the client's, its numbers, the maps to it."""

VECTORS_AT_ONCE = 4096
"""Vectors that stand in memory in single precision while a search compares them."""

Numbers = NDArray[np.int64]
TermKeys = NDArray[np.uint32]
Cosines = NDArray[np.float32]

NO_TERMS: TermKeys = np.zeros(0, np.uint32)


class ColdRows(Protocol):
    """Where one user's cold turns and their vectors are."""

    def turns(self, indexes: Sequence[int]) -> list[Turn]:
        """Turns by index, in any order."""
        ...

    def terms(self, below: int) -> Iterator[tuple[str, TermKeys]]:
        """Id and terms, by key, of each turn below an index, in any order; some may come twice."""
        ...

    def vectors(self) -> Iterator[tuple[list[str], list[str], Vectors]]:
        """Ids, fields and vectors ``(n, dim)`` of texts, batch by batch; others than turns' among them."""
        ...


class NoRows:
    """Where nothing is kept cold."""

    def turns(self, indexes: Sequence[int]) -> list[Turn]:
        """None."""
        return []

    def terms(self, below: int) -> Iterator[tuple[str, TermKeys]]:
        """None."""
        return iter(())

    def vectors(self) -> Iterator[tuple[list[str], list[str], Vectors]]:
        """None."""
        return iter(())


class _HeldVectors:
    """Vectors in half precision: ``positions`` ``(n,)`` of their turns, ``halves`` ``(n, dim)``."""

    def __init__(self, batches: Iterable[tuple[Numbers, Vectors]]) -> None:
        """``batches`` are positions with vectors; of a position below 0 nothing is held."""
        positions, halves = [np.zeros(0, np.int32)], list[NDArray[np.float16]]()
        for places, vectors in batches:
            own = places >= 0
            positions.append(places[own].astype(np.int32))
            halves.append(vectors[own].astype(np.float16))
        self.positions = np.concatenate(positions)
        self.halves = np.concatenate(halves) if halves else np.zeros((0, 0), np.float16)

    @property
    def nbytes(self) -> int:
        """Memory taken."""
        return self.positions.nbytes + self.halves.nbytes

    def blocks(self) -> Iterator[tuple[NDArray[np.int32], Vectors]]:
        """Positions and vectors in single precision, some at a time."""
        for first in range(0, len(self.positions), VECTORS_AT_ONCE):
            block = slice(first, first + VECTORS_AT_ONCE)
            yield self.positions[block], self.halves[block].astype(np.float32)


class ColdTurns:
    """All turns of one user below some index. Positions count them in the order of writing."""

    def __init__(self, rows: ColdRows | None = None, listed: pa.Table | None = None) -> None:
        """``listed`` has the columns ``LISTED``, one row a turn, ordered by index."""
        columns = {name: listed[name] if listed else pa.chunked_array([pa.array([])]) for name in LISTED}
        self._rows = rows or NoRows()
        self._bare: dict[str, None] | None = None
        self._words: TermTable | None = None
        self._vectors: _HeldVectors | None = None
        self._positions = {id: n for n, id in enumerate(columns["id"].to_pylist())}
        self.ids = tuple(self._positions)
        self._index = columns["index"].to_numpy().astype(np.int64)
        self._times, self._recorded = (_instants(columns[name]) for name in ("event_time", "recorded_at"))
        self._clients = {id: n for n, id in enumerate(columns["client_id"].to_pylist()) if id}
        self._sessions: dict[str, list[int]] = {}
        for n, session in enumerate(columns["session"].to_pylist()):
            self._sessions.setdefault(session, []).append(n)

    def __len__(self) -> int:
        return len(self._index)

    def __contains__(self, id: str) -> bool:
        return id in self._positions

    @property
    def nbytes(self) -> int:
        """About how much memory is taken by the list, and by what searches have had loaded so far."""
        loaded = (held.nbytes for held in (self._words, self._vectors) if held is not None)
        return LISTED_BYTES * len(self) + sum(loaded)

    @property
    def next_index(self) -> int:
        """The index after the last of them."""
        return int(self._index[-1]) + 1 if len(self) else 0

    @property
    def last_recorded(self) -> datetime | None:
        """When the last of them was stored."""
        return _datetime(int(self._recorded.max())) if len(self) else None

    def positions_of(self, ids: Iterable[str]) -> list[int]:
        """Where those ids stand that are among them."""
        return [self._positions[id] for id in ids if id in self._positions]

    def turns_at(self, positions: Iterable[int] | Numbers) -> list[Turn]:
        """The turns at some positions, in the order of writing."""
        indexes = self._index[np.fromiter(positions, np.int64)]
        return sorted(self._rows.turns(indexes.tolist()), key=lambda turn: turn.index) if len(indexes) else []

    def turn(self, id: str) -> Turn | None:
        """The turn with this id."""
        return next(iter(self.turns_at(self.positions_of([id]))), None)

    def turn_of_client(self, client_id: str) -> Turn | None:
        """The turn that a client stored under its own id."""
        position = self._clients.get(client_id)
        return None if position is None else self.turns_at([position])[0]

    def turns(
        self, session: str | None = None, first_index: int = 0, as_of: AsOf | None = None
    ) -> list[Turn]:
        """Turns from an index on in the order of writing, of one session or all, known then."""
        wanted = self.known(as_of) & (self._index >= first_index)
        if session is not None:
            of_session = np.zeros(len(self), np.bool_)
            of_session[self._sessions.get(session, [])] = True
            wanted &= of_session
        return self.turns_at(np.flatnonzero(wanted))

    def begin(self, session: str) -> datetime | None:
        """The earliest ``event_time`` of a session's cold turns."""
        positions = self._sessions.get(session)
        return _datetime(int(self._times[positions].min())) if positions else None

    def known(self, as_of: AsOf | None) -> NDArray[np.bool_]:
        """``(n,)``: which were known then."""
        if as_of is None:
            return np.ones(len(self), np.bool_)
        times = self._times if as_of.clock == "timeline" else self._recorded
        return np.asarray(times <= microseconds(as_of.time), np.bool_)

    def inside(self, window: Window) -> NDArray[np.bool_]:
        """``(n,)``: which happened within the window."""
        after = window.start is None or self._times >= microseconds(window.start)
        before = window.end is None or self._times <= microseconds(window.end)
        return np.ones(len(self), np.bool_) & after & before

    def newest(self, as_of: AsOf | None, since: datetime | None) -> Turn | None:
        """The turn with the latest ``event_time``, the one written last among equals; None unless it is
        later than ``since``."""
        positions = np.flatnonzero(self.known(as_of))
        if not len(positions):
            return None
        latest = positions[np.lexsort((positions, self._times[positions]))[-1]]
        if since is not None and self._times[latest] <= microseconds(since):
            return None
        return self.turns_at([latest])[0]

    def in_window(self, window: Window, limit: int, newest_first: bool) -> list[Turn]:
        """The first or last so many in order of ``event_time``, in the order of writing."""
        positions = np.flatnonzero(self.inside(window))
        ordered = positions[np.lexsort((positions, self._times[positions]))]
        limit = max(limit, 0)
        return self.turns_at(ordered[max(len(ordered) - limit, 0) :] if newest_first else ordered[:limit])

    # words

    def words(self) -> TermTable:
        """The terms of each turn, what both said together, by position. Read when first asked for."""
        if self._words is None:
            found = {self._positions[id]: keys for id, keys in self._rows.terms(self.next_index)}
            words = TermTable()
            for position in range(len(self)):
                words.append(found.get(position, NO_TERMS))
            self._words = words
        return self._words

    # vectors

    def cosines(self, vectors: Sequence[Vectors]) -> Cosines:
        """``(n,)``: how near the nearer one of a turn's texts comes to the nearest of some unit vectors,
        -inf for a turn without stored vectors. Half precision: exact to about 0.0005. Read when first asked
        for."""
        best = np.full(len(self), -np.inf, np.float32)
        if self._vectors is None:
            stored = ((self._places(ids), found) for ids, _, found in self._rows.vectors())
            self._vectors = _HeldVectors(stored if len(self) else ())
        for positions, block in self._vectors.blocks():
            for vector in vectors:
                np.maximum.at(best, positions, np.vecdot(block, vector))
        return best

    def _places(self, ids: Sequence[str]) -> Numbers:
        """Positions of ids, -1 of those that are not cold turns'."""
        return np.fromiter((self._positions.get(id, -1) for id in ids), np.int64, len(ids))

    def nearest(self, vector: Vectors, k: int) -> list[tuple[str, str, float]]:
        """Id, field and cosine of the k texts nearest to a unit vector, best first."""
        best: dict[tuple[str, str], float] = {}
        for ids, fields, stored in self._rows.vectors() if len(self) else ():
            cosines = np.vecdot(stored, vector).tolist()
            for id, field, cosine in zip(ids, fields, cosines, strict=True):
                if id in self._positions:
                    best[id, field] = cosine
            best = dict(nlargest(k, best.items(), key=lambda item: item[1]))
        return [(id, field, cosine) for (id, field), cosine in best.items()]

    def without_vectors(self) -> tuple[str, ...]:
        """Turns of which no text has a stored vector, but for those told to ``indexed``. Looked up once."""
        if self._bare is None:
            stored = {id for ids, _, _ in self._rows.vectors() for id in ids} if len(self) else set()
            self._bare = dict.fromkeys(id for id in self.ids if id not in stored)
        return tuple(self._bare)

    def indexed(self, ids: Iterable[str]) -> None:
        """The vectors of these turns are stored now, as far as they have a text."""
        self._vectors = None  # the next search reads them with the rest
        if self._bare is not None:
            for id in ids:
                self._bare.pop(id, None)


def _instants(column: pa.ChunkedArray) -> Numbers:
    """Microseconds since 1970-01-01."""
    if not pa.types.is_timestamp(column.type):
        return np.zeros(0, np.int64)
    times: Numbers = column.cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()).to_numpy()
    return times


def _datetime(instant: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=instant)
