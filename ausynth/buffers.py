"""Pixel buffers that are used again when nobody refers to them any more.

A fresh array of a batch's size costs a page fault every 4 kB, which at a decoder's speed is a tenth of the time.
"""

from __future__ import annotations

import math
import os
import weakref
from collections import deque
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["BufferPool", "rows_of"]

_KEPT = 24
"""Buffers that are watched: more are in use only where somebody collects batches, and then they are not used again."""

_Watched: TypeAlias = tuple["weakref.ref[NDArray[np.uint8]]", NDArray[np.uint8]]


class BufferPool:
    """Gives out uint8 arrays; an array's memory is used again when the last view or tensor of it is gone.

    Thread-safe. A copy in another process starts empty.
    """

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self._watched: deque[_Watched] = deque(maxlen=_KEPT)
        self._pid = os.getpid()

    def __reduce__(self) -> tuple[type[BufferPool], tuple[()]]:
        return (BufferPool, ())

    def take(self, shape: tuple[int, ...]) -> NDArray[np.uint8]:
        """Return an array of `shape` with anything in it."""
        size = math.prod(shape)
        if self._pid != os.getpid():
            self._begin()
        memory = self._unused(size)
        # The array that is given out is a new object on the old memory: its end is the end of all views of it.
        # It is looked for here and announces nothing: Python would lose a Ctrl-C that falls into a finalizer.
        given = np.frombuffer(memory.data, np.uint8)
        self._watched.append((weakref.ref(given), memory))
        return given.reshape(shape)

    def _unused(self, size: int) -> NDArray[np.uint8]:
        # Each step is atomic, and what one thread has in hand others do without: a lock could be waited for by a thread
        # that the garbage collector, inside the lock, waits for.
        passed: list[_Watched] = []
        found = np.empty(0, np.uint8)
        for _ in range(len(self._watched)):
            try:
                given, memory = self._watched.pop()  # the latest is the one in the processor's cache
            except IndexError:
                break
            if memory.size == size and given() is None:
                found = memory
                break
            passed.append((given, memory))
        self._watched.extend(reversed(passed))
        return found if found.size == size else np.empty(size, np.uint8)


def rows_of(images: NDArray[np.uint8], rows: NDArray[np.int64]) -> NDArray[np.uint8] | None:
    """Return the chosen rows (ascending) of `images` as a view to write into, or None if not evenly spaced."""
    if rows.size == 1:
        return images[rows[0] : rows[0] + 1]
    if rows.size == len(images):
        return images
    steps = np.diff(rows)
    return images[rows[0] :: steps[0]][: rows.size] if (steps == steps[0]).all() else None
