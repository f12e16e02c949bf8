"""Which facial actions make which AU, and how strongly.

The tables are this project's own: weights of ARKit-like facial actions at intensity 5, set by eye and against an AU
estimator from outside. A `*` stands for the left and the right action, weighted apart, so that faces can be asymmetric.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import numpy as np

from ausynth import facs
from ausynth.generators.rendered.head import Head
from ausynth.labels import Floats

__all__ = ["ACTIONS", "AUS", "GAIN", "Actions", "gain"]

AUS: Final = facs.UNION_17

GAIN: Final = (0.0, 0.12, 0.30, 0.55, 0.80, 1.0)
"""How far a face moves at intensities 0-5, as a share of the maximum: FACS' letters are not equal steps."""

ACTIONS: Final[Mapping[int, Mapping[str, float]]] = MappingProxyType(
    {
        1: {"browInnerUp*": 1.9},
        2: {"browOuterUp*": 1.5, "browInnerUp*": 0.3},
        4: {"browDown*": 1.7},
        5: {"eyeWide*": 1.2},
        6: {"cheekSquint*": 1.2, "eyeSquint*": 0.6},
        7: {"eyeSquint*": 1.25, "eyeBlink*": 0.12},
        9: {"noseSneer*": 2.2, "browDown*": 0.5, "browOuterUp*": 0.4, "cheekSquint*": 0.3},
        10: {"mouthUpperUp*": 1.7, "noseSneer*": 0.3},
        12: {"mouthSmile*": 0.85, "cheekSquint*": 0.15},
        14: {"mouthDimple*": 1.9, "mouthFrown*": 0.6},
        15: {"mouthFrown*": 1.9},
        17: {"mouthShrugLower": 1.6, "mouthShrugUpper": 0.5},
        20: {"mouthStretch*": 1.5},
        23: {"mouthRollLower": 1.0, "mouthRollUpper": 1.0, "mouthPucker": 0.2},
        24: {"mouthRollLower": 1.2, "mouthRollUpper": 1.2, "mouthPress*": 0.35, "mouthFrown*": 0.2},
        25: {"mouthLowerDown*": 0.8, "mouthUpperUp*": 0.4, "jawOpen": 0.08},
        26: {"jawOpen": 0.40},
    }
)
"""AU -> facial actions and their weights at intensity 5."""


def gain(intensity: Floats) -> Floats:
    """Return the share of the maximal movement (0-1) at intensities 0-5, linear between FACS' letters."""
    return np.interp(intensity, range(len(GAIN)), GAIN).astype(np.float32)


class Actions:
    """The table for one head, as matrices from AUs to its changes of shape."""

    def __init__(self, head: Head) -> None:
        # Actions without a side count half for either one.
        self._matrix_2AS = np.zeros((2, len(AUS), len(head.shapes)), np.float32)
        for a, au in enumerate(AUS):
            for action, weight in ACTIONS[au].items():
                for side, name in enumerate(("Left", "Right")):
                    share = weight if action.endswith("*") else weight / 2
                    self._matrix_2AS[side, a] += head.weights({action.replace("*", name): share})

    def weights(self, intensity_A: Floats, asymmetry_A: Floats) -> Floats:
        """Return the (S,) weights of the head's changes for one face.

        Args:
            intensity_A: (A,) 0-5 over `AUS`.
            asymmetry_A: (A,) -1 to 1: how much weaker the right (above 0) or the left side (below 0) moves.
        """
        moved_A = gain(intensity_A)
        left_A, right_A = moved_A * (1 + np.minimum(asymmetry_A, 0)), moved_A * (1 - np.maximum(asymmetry_A, 0))
        # Sums in a fixed order: a BLAS product may add in another one on another machine or thread.
        weights_S = np.zeros(self._matrix_2AS.shape[2], np.float32)
        for a in np.flatnonzero(moved_A):
            weights_S += left_A[a] * self._matrix_2AS[0, a] + right_A[a] * self._matrix_2AS[1, a]
        return weights_S
