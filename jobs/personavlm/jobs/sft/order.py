"""Which examples each step learns from: a fixed function of the seed, so that a run can go on anywhere."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np


class Order:
    """All of ``usable`` once an epoch, in an order of the epoch's own."""

    def __init__(self, usable: Sequence[int], batch_size: int, seed: int) -> None:
        self._usable, self._batch_size, self._seed = usable, batch_size, seed
        self._shuffled = lru_cache(2)(self._shuffle)

    def batch(self, step: int) -> list[int]:
        """The examples of update ``step``; a batch may reach into the next epoch."""
        count, first = len(self._usable), step * self._batch_size
        places = (divmod(at, count) for at in range(first, first + self._batch_size))
        return [self._usable[self._shuffled(epoch)[place]] for epoch, place in places]

    def _shuffle(self, epoch: int) -> list[int]:
        order: list[int] = np.random.default_rng([self._seed, epoch]).permutation(len(self._usable)).tolist()
        return order


def steps_of(examples: int, batch_size: int, epochs: float) -> int:
    """Optimiser steps of so many epochs, at least one."""
    return max(1, math.ceil(examples * epochs / batch_size))
