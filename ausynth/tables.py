"""Pure functions of an ordinal, computed by blocks of ordinals and kept for a while."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ausynth.schedule import Integers

__all__ = ["ByBlocks"]

Columns = tuple[NDArray[Any], ...]

_KEPT = 8


class ByBlocks:
    """Looks up what a vectorised function says of ordinals: for a batch, calling numpy would be most of the work.

    >>> squares = ByBlocks(lambda ordinals: (ordinals, ordinals**2))
    >>> squares.at(np.array([3, 2000]))[1].tolist()
    [9, 4000000]

    Thread-safe. A pickled copy starts empty.

    Args:
        compute: (N,) ordinals -> arrays with N rows, a row a pure function of its ordinal.
        block: N, how many ordinals are computed at a time.
    """

    def __init__(self, compute: Callable[[Integers], Columns], block: int = 1024) -> None:
        self._compute, self._size = compute, block
        self._blocks: dict[int, Columns] = {}

    def __reduce__(self) -> tuple[type[ByBlocks], tuple[Callable[[Integers], Columns], int]]:
        return (ByBlocks, (self._compute, self._size))

    def at(self, ordinals: Integers) -> Columns:
        """Return the rows of the ordinals (B,), in each array."""
        block_B, row_B = np.divmod(ordinals, self._size)
        numbers = sorted(set(block_B.tolist()))
        if len(numbers) == 1:
            return tuple(column[row_B] for column in self._block(numbers[0]))
        blocks = [self._block(number) for number in numbers]
        places_B = np.searchsorted(numbers, block_B) * self._size + row_B
        return tuple(np.concatenate(columns)[places_B] for columns in zip(*blocks, strict=True))

    def _block(self, number: int) -> Columns:
        block = self._blocks.get(number)
        if block is None:
            block = self._compute(np.arange(number * self._size, (number + 1) * self._size))
            # Replaced as a whole: threads see the old table or the new one, and any block is as good as another.
            self._blocks = {**dict(list(self._blocks.items())[-_KEPT:]), number: block}
        return block
