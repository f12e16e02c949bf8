"""Random numbers keyed by what they are for: no state, no order, the same everywhere."""

from __future__ import annotations

from typing import Final

import numpy as np

__all__ = ["PURPOSES", "stream"]

PURPOSES: Final = {
    "person": 1,
    "face": 2,
    "pose": 3,
    "light": 4,
    "background": 5,
    "sensor": 6,
    "asymmetry": 7,
    "gaze": 8,
    "hair": 9,
}


def stream(purpose: str, *keys: int) -> np.random.Generator:
    """Return the generator of random numbers for one purpose and key: the same keys, the same numbers.

    >>> stream("pose", 7).random() == stream("pose", 7).random() != stream("light", 7).random()
    True
    """
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([PURPOSES[purpose], *keys])))
