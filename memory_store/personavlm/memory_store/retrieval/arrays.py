"""Arrays that grow by rows at their end, contiguous at any time."""

from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

Number = TypeVar("Number", bound=np.generic)

FIRST_ROWS = 4


class Rows(Generic[Number]):
    """``(n, *shape)`` numbers. When memory is full it grows by a quarter: appending stays cheap, and little
    of it lies idle."""

    def __init__(self, dtype: DTypeLike, *shape: int) -> None:
        self._memory: NDArray[Any] = np.zeros((0, *shape), dtype)
        self._size = 0

    def __len__(self) -> int:
        return self._size

    @property
    def array(self) -> NDArray[Number]:
        """All rows; a view, to be used before the next ``extend``."""
        return self._memory[: self._size]

    @property
    def nbytes(self) -> int:
        """Memory taken, room for rows to come included."""
        return self._memory.nbytes

    def extend(self, rows: NDArray[Any]) -> None:
        """Append rows."""
        size = self._size + len(rows)
        if size > len(self._memory):
            room = max(size, len(self._memory) * 5 // 4, FIRST_ROWS)
            grown = np.zeros((room, *self._memory.shape[1:]), self._memory.dtype)
            grown[: self._size] = self.array
            self._memory = grown
        self._memory[self._size : size] = rows
        self._size = size

    def append(self, row: object) -> None:
        """Append one row."""
        self.extend(np.asarray(row, self._memory.dtype)[np.newaxis])
