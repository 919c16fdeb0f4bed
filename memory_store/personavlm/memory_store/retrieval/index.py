"""What one user's records look like to a search: texts to rank, with their times, grown on demand.

Everything here is derived from the working set and the stored vectors; losing it costs time only.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from personavlm.memory_store.encoder import Vectors
from personavlm.memory_store.records import (
    AnyMemory,
    EpisodicMemory,
    ImageRef,
    MemoryKind,
    ProceduralMemory,
    SemanticMemory,
    Turn,
)
from personavlm.memory_store.retrieval.corpus import Corpus, Passage
from personavlm.memory_store.retrieval.dates import Days, day_number
from personavlm.memory_store.retrieval.names import Speaker
from personavlm.memory_store.retrieval.nearest import Near, nearest
from personavlm.memory_store.retrieval.tokens import PackedTokens
from personavlm.memory_store.times import microseconds
from personavlm.memory_store.working_set import WorkingSet

SEARCHED = (MemoryKind.SEMANTIC, MemoryKind.EPISODIC, MemoryKind.PROCEDURAL)
"""Core memory is in every prompt, so nobody needs to find it."""

SPEAKERS = {"user": Speaker.USER, "assistant": Speaker.ASSISTANT}

KEY_BYTES = 700
"""What the keys of a text and the maps to it take."""


@dataclass(frozen=True, slots=True)
class VectorKey:
    """Of what a vector is: a field of a record, with the digest of its content."""

    id: str
    field: str
    digest: str


@dataclass(frozen=True, slots=True)
class StoredVector:
    """A ``(dim,)`` unit vector, with the tokens of a text where its model gives them."""

    vector: Vectors
    tokens: PackedTokens | None = None


StoredVectors = Mapping[VectorKey, StoredVector]


def text_key(id: str, field: str, text: str) -> VectorKey:
    """The key of a text's vector."""
    return VectorKey(id, field, hashlib.sha256(text.encode()).hexdigest())


def image_key(sha256: str) -> VectorKey:
    """The key of an image's vector."""
    return VectorKey(sha256, "image", sha256)


class TextIndex:
    """A corpus whose texts are known by vector key. New vectors are remembered until they are stored."""

    def __init__(self, corpus: Corpus) -> None:
        self.corpus = corpus
        self._keys: list[VectorKey] = []
        self._positions: dict[VectorKey, int] = {}
        self._unsaved: dict[VectorKey, StoredVector] = {}

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def nbytes(self) -> int:
        """About how much memory the index takes."""
        return self.corpus.nbytes + KEY_BYTES * len(self._keys)

    def add(self, id: str, field: str, passage: Passage, stored: StoredVectors) -> int:
        """The position of a text that a record holds in one of its fields, added unless it is there."""
        key = text_key(id, field, passage.text)
        if key in self._positions:
            return self._positions[key]
        position = self._positions[key] = self.corpus.add(passage)
        self._keys.append(key)
        if key in stored:
            self.corpus.set_vector(position, stored[key].vector, stored[key].tokens)
        return position

    def texts(self) -> tuple[tuple[str, str], ...]:
        """Id and field of each text, by position."""
        return tuple((key.id, key.field) for key in self._keys)

    def missing(self) -> dict[VectorKey, str]:
        """Texts that have no vector yet, oldest first."""
        return {self._keys[position]: self.corpus.text(position) for position in self.corpus.missing()}

    def set_vectors(self, vectors: StoredVectors) -> None:
        """Give texts their vectors; keys of other texts are passed over."""
        for key, stored in vectors.items():
            position = self._positions.get(key)
            if position is not None:
                self.corpus.set_vector(position, stored.vector, stored.tokens)
                self._unsaved[key] = stored

    def unsaved(self) -> dict[VectorKey, StoredVector]:
        """Vectors that are not stored yet."""
        return dict(self._unsaved)

    def take_unsaved(self) -> dict[VectorKey, StoredVector]:
        """Vectors that were made since the last call."""
        unsaved, self._unsaved = self._unsaved, {}
        return unsaved

    def nearest(self, vector: Vectors, k: int) -> list[Near]:
        """The texts whose vectors come nearest, best first."""
        found = nearest(self.corpus.cosines(vector), k)
        return [Near(self._keys[i].id, self._keys[i].field, cosine) for i, cosine in found]


class SearchIndex:
    """All that is searched of one user. Not thread-safe: the user's lock is held around it."""

    def __init__(self, dim: int, stored_texts: StoredVectors, stored_images: StoredVectors) -> None:
        self.dim = dim
        self.turns = TextIndex(Corpus(dim, talks=True))
        self.memories = {kind: TextIndex(Corpus(dim)) for kind in SEARCHED}
        self._stored = stored_texts
        self._turns_seen = 0
        self._versions_seen = 0
        self._turn_of_text: list[int] = []
        self._turn_times: list[int] = []
        self._turn_arrays: tuple[NDArray[np.int64], NDArray[np.int64]] | None = None
        self._entry_of_version: dict[tuple[str, int], tuple[int, int, int]] = {}
        self._images = {key.id: stored.vector for key, stored in stored_images.items()}
        self._image_ids: dict[str, None] = {}
        self._unsaved_images: dict[VectorKey, StoredVector] = {}

    @property
    def nbytes(self) -> int:
        """About how much memory the index takes."""
        images = sum(vector.nbytes for vector in self._images.values())
        waiting = sum(stored.vector.nbytes for stored in self._stored.values())
        return images + waiting + self.turns.nbytes + sum(index.nbytes for index in self.memories.values())

    def refresh(self, working_set: WorkingSet) -> None:
        """Take in what the working set got since the last call."""
        for turn in working_set.turns[self._turns_seen :]:
            self._add_turn(turn)
        if self._turns_seen < len(working_set.turns):
            self._turns_seen = len(working_set.turns)
            self._turn_arrays = None
        for memory in working_set.versions_log[self._versions_seen :]:
            if memory.kind in SEARCHED:
                self._add_memory(memory)
        self._versions_seen = len(working_set.versions_log)
        self._stored = {}  # what was stored is taken in now, or of texts that are no more

    def _add_turn(self, turn: Turn) -> None:
        day = _local_day(turn.event_time, turn.utc_offset_minutes)
        for field, text in _said(turn):
            passage = Passage(text, "", SPEAKERS[field], turn.session, Days(day, day))
            self.turns.add(turn.id, field, passage, self._stored)
            self._turn_of_text.append(len(self._turn_times))
        self._turn_times.append(microseconds(turn.event_time))

    def _add_memory(self, memory: AnyMemory) -> None:
        """Versions that differ in other things share their text."""
        index = self.memories[memory.kind]
        end = memory.end_time if isinstance(memory, EpisodicMemory) else memory.event_time
        days = Days(_local_day(memory.event_time), _local_day(end))
        passage = Passage(memory.text, _words_beside_text(memory), days=days)
        position = index.add(memory.id, "text", passage, self._stored)
        entry = (position, microseconds(memory.event_time), microseconds(end))
        self._entry_of_version[memory.id, memory.version] = entry
        for image in images_of(memory):
            self._image_ids[image.sha256] = None

    def entries(self, memories: Sequence[AnyMemory]) -> NDArray[np.int64]:
        """``(n, 3)``: where each version's text stands in the corpus of its kind, and the microseconds
        at which its span begins and ends."""
        found = [self._entry_of_version[memory.id, memory.version] for memory in memories]
        return np.array(found, np.int64).reshape(-1, 3)

    def turn_arrays(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """For each text of the turns' corpus its turn's index; for each turn its time in microseconds."""
        if self._turn_arrays is None:
            self._turn_arrays = np.array(self._turn_of_text, np.int64), np.array(self._turn_times, np.int64)
        return self._turn_arrays

    def nearest(self, vector: Vectors, k: int) -> list[Near]:
        """The texts of any kind whose vectors come nearest, best first; earlier versions count too."""
        indexes = [index for index in (self.turns, *self.memories.values()) if len(index)]
        found = [near for index in indexes for near in index.nearest(vector, k)]
        return sorted(found, key=lambda near: -near.cosine)[:k]

    # vectors

    def missing_texts(self) -> dict[VectorKey, str]:
        """Texts that have no vector yet: turns first, then memories, each oldest first."""
        missing = self.turns.missing()
        for index in self.memories.values():
            missing |= index.missing()
        return missing

    def set_texts(self, vectors: StoredVectors) -> None:
        """Give texts their vectors."""
        for index in (self.turns, *self.memories.values()):
            index.set_vectors(vectors)

    def missing_images(self) -> tuple[str, ...]:
        """Images of memories that have no vector yet, by SHA-256."""
        return tuple(sha256 for sha256 in self._image_ids if sha256 not in self._images)

    def set_images(self, vectors: Mapping[str, Vectors]) -> None:
        """Give images their vectors."""
        self._images.update(vectors)
        self._unsaved_images |= {
            image_key(sha256): StoredVector(vector) for sha256, vector in vectors.items()
        }

    def image_vectors(self, images: Iterable[ImageRef]) -> Vectors | None:
        """``(n, dim)`` vectors of those images that have one; None if none has."""
        found = [self._images[image.sha256] for image in images if image.sha256 in self._images]
        return np.stack(found) if found else None

    def take_unsaved(self) -> tuple[dict[VectorKey, StoredVector], dict[VectorKey, StoredVector]]:
        """Vectors of texts and of images that were made since the last call."""
        texts = self.turns.take_unsaved()
        for index in self.memories.values():
            texts |= index.take_unsaved()
        images, self._unsaved_images = self._unsaved_images, {}
        return texts, images


def texts_of(turns: Iterable[Turn]) -> dict[VectorKey, str]:
    """What is encoded of turns."""
    return {text_key(turn.id, field, text): text for turn in turns for field, text in _said(turn)}


def _said(turn: Turn) -> list[tuple[str, str]]:
    # What an image shows belongs to the user's words: a caption is searched and encoded with them.
    said = "\n".join(filter(str.strip, (turn.user_text, *(image.caption for image in turn.images))))
    sides = ("user", said), ("assistant", turn.assistant_text)
    return [(field, text) for field, text in sides if text.strip()]


def images_of(memory: AnyMemory) -> tuple[ImageRef, ...]:
    """The images that belong to a memory."""
    return memory.images if isinstance(memory, SemanticMemory) else ()


def _local_day(moment: datetime, utc_offset_minutes: int = 0) -> int:
    return day_number(moment.date()) + (moment.hour * 60 + moment.minute + utc_offset_minutes) // 1440


def _words_beside_text(memory: AnyMemory) -> str:
    if isinstance(memory, SemanticMemory):
        return " ".join((*memory.keywords, *(image.caption for image in memory.images)))
    if isinstance(memory, EpisodicMemory):
        return " ".join(memory.keywords)
    return memory.key if isinstance(memory, ProceduralMemory) else ""
