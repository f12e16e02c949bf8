"""What a stream asks of its synthetic side, whether the faces are generated, remembered or taken from a pool."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ausynth.labels import Labels
from ausynth.schedule import Integers
from ausynth.store import Recipe, Samples

__all__ = ["Fill", "SyntheticSide"]

Fill = Callable[[NDArray[np.uint8]], tuple[Labels, Integers]]
"""Writes the pictures of B ordinals into (B, H, W, 3) uint8, of the side's own size, and returns their labels and
identities (B,). The pictures' rows may lie apart; each is contiguous."""


class SyntheticSide(Protocol):
    """An endless sequence of synthetic faces: ordinal j is the same picture whoever asks for it, and when."""

    @property
    def rejected(self) -> int:
        """Return how many pictures this process has rejected."""
        ...

    @property
    def fingerprint(self) -> str:
        """Return a hash of all that decides what ordinal j is."""
        ...

    @property
    def image_size(self) -> int:
        """Return the height and width of its pictures in pixels."""
        ...

    @property
    def aus(self) -> tuple[int, ...]:
        """Return the action units of its labels."""
        ...

    @property
    def recipe(self) -> Recipe:
        """Return what a store of its faces has in common."""
        ...

    @property
    def length(self) -> int | None:
        """Return how many ordinals there are, from 0; None where there is no end."""
        ...

    def begin(self, ordinals: Integers) -> Fill:
        """Start on the ordinals (B,), and return the function that waits for them."""
        ...

    def samples(self, start: int, stop: int) -> Iterator[tuple[Samples, NDArray[np.uint8]]]:
        """Yield the ordinals start, start + 1, ... stop - 1 in batches, with all that is known of them."""
        ...

    def running(self, threads: int) -> AbstractContextManager[None]:
        """Return a context for the time in which a stream iterates on so many threads."""
        ...
