"""Invented memories with random unit vectors: the same on every side, any number of them, none kept.

A memory is known by its number. Its text ends with that number, so the benchmark's encoder can give the
vector that belongs to the text.
"""

import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from personavlm.memory_store.encoder import Vectors
from tests.benchmarks.peers.items import Item

DIM = 384
PER_USER = 100
POOL = 8192  # vectors that are drawn; the others are these, turned

WHO = (
    "My sister Ana",
    "Our neighbour",
    "A friend from the choir",
    "My old teacher",
    "The new colleague",
    "I",
)
DID = ("went to see", "wrote a letter about", "could not find", "wants to sell", "was told of", "painted")
WHAT = ("the house by the river", "a red bicycle", "the market in Porto", "two tickets to the opera")
WHY = (
    "because of the rain",
    "for a birthday in May",
    "after a long week",
    "as a surprise",
    "on a bet",
    "at last",
)
FELT = ("which made everybody laugh", "and it was worth it", "though it cost too much", "and nobody minded")
THEN = ("We talked about it until late.", "I would do it again.", "Remind me to ask how it went.")
REPLY = (
    "That sounds like a day to remember. I have noted who was there and what you thought of it, and I will "
    "bring it up when you plan the next one. If you would like, tell me how it ended and whether you want "
    "to be reminded of it before the summer, when the others said that they would come back and visit you."
)


def text_of(number: int) -> str:
    """About 150 characters that end with the number."""
    words, rest = [], number
    for choices in (WHO, DID, WHAT, WHY, FELT, THEN):
        rest, choice = divmod(rest, len(choices))
        words.append(choices[choice])
    who, did, what, why, felt, then = words
    return f"{who} {did} {what} {why}, {felt}. {then} Entry {number}."


class RandomVectors:
    """Unit vectors by number: ``(dim,)`` float32 each, the same for the same seed."""

    def __init__(self, dim: int = DIM, seed: int = 0) -> None:
        self.dim = dim
        drawn = np.random.default_rng(seed).normal(size=(POOL, dim)).astype(np.float32)
        self._drawn = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)

    def of(self, numbers: NDArray[np.int64]) -> Vectors:
        """``(len(numbers), dim)``: number n is drawn vector n mod POOL, turned by n div POOL places."""
        places = (np.arange(self.dim) + numbers[:, np.newaxis] // POOL) % self.dim
        return np.take_along_axis(self._drawn[numbers % POOL], places, axis=1)


class NumberEncoder:
    """A ``TextEncoder`` that reads the last number in a text and gives its vector. Costs next to nothing."""

    def __init__(self, vectors: RandomVectors) -> None:
        self._vectors = vectors
        self.model_id, self.dim = f"numbers-{vectors.dim}", vectors.dim

    def encode(self, texts: Sequence[str]) -> Vectors:
        return self._vectors.of(np.array([_last_number(text) for text in texts], np.int64))


def _last_number(text: str) -> int:
    numbers = re.findall(r"\d+", text)
    return int(numbers[-1]) if numbers else zlib.crc32(text.encode()) % POOL


class NoImages:
    """An ``ImageEncoder`` for stores that hold no image."""

    model_id, dim, threshold = "no images", 8, 0.9

    def encode(self, images: Sequence[bytes]) -> Vectors:
        return np.eye(len(images), self.dim, dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Memories:
    """``users`` users with ``per_user`` memories each; user u owns the numbers from u * per_user on."""

    users: int
    vectors: RandomVectors
    per_user: int = PER_USER

    def items(self, user: int, *, reply: bool = False) -> list[Item]:
        """What one user has; without replies each memory is one text, so one vector."""
        first = user * self.per_user
        return self.numbered(user, range(first, first + self.per_user), reply=reply)

    def numbered(self, user: int, numbers: Sequence[int], *, reply: bool = False) -> list[Item]:
        """Memories of a user by their numbers."""
        rows = self.vectors.of(np.asarray(numbers, np.int64))
        name, answer = user_name(user), REPLY if reply else ""
        pairs = zip(numbers, rows, strict=True)
        return [Item(f"m{number}", name, text_of(number), answer, row) for number, row in pairs]

    def by_user(self) -> Iterator[list[Item]]:
        """Everybody's memories, user by user."""
        return (self.items(user) for user in range(self.users))

    def queries(self, count: int, seed: int) -> Vectors:
        """``(count, dim)`` unit vectors like no memory's."""
        return RandomVectors(self.vectors.dim, seed=seed + 1).of(np.arange(count))


def user_name(user: int) -> str:
    """The user's name on every side."""
    return f"user{user}"
