"""Which facial actions make which AU, and how strongly.

The table is data: `assets/actions.toml`. A `*` stands for the left and the right action, weighted apart, so that faces
can be asymmetric.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from ausynth.generators.rendered.head import Head
from ausynth.generators.rendered.table import AUS, load_table
from ausynth.labels import Floats

__all__ = ["ACTIONS", "AUS", "GAIN", "SIDED", "Actions", "gain", "moved"]

GAIN: Final = load_table().gain
"""How far a face moves at intensities 0-5, as a share of the maximum: FACS' letters are not equal steps."""

ACTIONS: Final[Mapping[int, Mapping[str, float]]] = load_table().shapes
"""AU -> facial actions and their weights at intensity 5."""


SIDED: Final = np.array([any(action.endswith("*") for action in ACTIONS[au]) for au in AUS])
"""(A,) which AUs have sides at all: a jaw or a chin moves as a whole."""


def gain(intensity: Floats) -> Floats:
    """Return the share of the maximal movement (0-1) at intensities 0-5, linear between FACS' letters."""
    return np.interp(intensity, range(len(GAIN)), GAIN).astype(np.float32)


def moved(intensity_A: Floats, asymmetry_A: Floats) -> tuple[Floats, Floats]:
    """Return (A,) and (A,) how far the left and the right side move, 0-1.

    Args:
        intensity_A: (A,) 0-5 over `AUS`.
        asymmetry_A: (A,) -1 to 1: how much weaker the right (above 0) or the left side (below 0) moves.
    """
    moved_A = gain(intensity_A)
    return moved_A * (1 + np.minimum(asymmetry_A, 0)), moved_A * (1 - np.maximum(asymmetry_A, 0))


class Actions:
    """The table for one head, as matrices from AUs to its changes of shape."""

    def __init__(self, head: Head) -> None:
        # (left, right, and what has no sides: there unevenness has nothing to act on) x A x S
        self._matrix_3AS = np.zeros((3, len(AUS), len(head.shapes)), np.float32)
        for a, au in enumerate(AUS):
            for action, weight in ACTIONS[au].items():
                if action.endswith("*"):
                    for side, name in enumerate(("Left", "Right")):
                        self._matrix_3AS[side, a] += head.weights({action.replace("*", name): weight})
                else:
                    self._matrix_3AS[2, a] += head.weights({action: weight})

    def weights(self, intensity_A: Floats, asymmetry_A: Floats) -> Floats:
        """Return the (S,) weights of the head's changes for one face; see `moved`."""
        left_A, right_A = moved(intensity_A, asymmetry_A)
        both_A = gain(intensity_A)
        # Sums in a fixed order: a BLAS product may add in another one on another machine or thread.
        weights_S = np.zeros(self._matrix_3AS.shape[2], np.float32)
        for a in np.flatnonzero(intensity_A):
            weights_S += left_A[a] * self._matrix_3AS[0, a] + right_A[a] * self._matrix_3AS[1, a]
            weights_S += both_A[a] * self._matrix_3AS[2, a]
        return weights_S
