"""The jaw: how far it has dropped, which is what AU26's label is read from.

Skin stretches and lips move by themselves, so the jaw is measured where it is bone: the height of the lower teeth below
the upper ones, beyond what it is when the same person is at rest. Lengths are centimetres.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Final

import numpy as np

from ausynth.generators.rendered.actions import ACTIONS, gain
from ausynth.generators.rendered.head import Head, load_head
from ausynth.generators.rendered.kernels import Integers
from ausynth.labels import Floats

__all__ = ["Jaw", "intensity_of_drop", "widest"]

_STEP: Final = 0.05  # of intensity, as for the lips
_SEEN_CM: Final = 0.02
_LETTERS: Final = np.arange(6, dtype=np.float32)


@dataclass(frozen=True, eq=False)
class Jaw:
    """Where the jaw is measured: the vertices of the upper and of the lower teeth."""

    upper: Integers
    lower: Integers

    @classmethod
    def of(cls, head: Head) -> Jaw:
        """Return the jaw of a head."""
        return cls(head.vertices_of("teeth_upper"), head.vertices_of("teeth_lower"))

    def dropped(self, vertices_V3: Floats) -> float:
        """Return how far the lower teeth are below the upper ones; only differences mean anything."""
        return float(vertices_V3[self.upper, 1].mean() - vertices_V3[self.lower, 1].mean())


@functools.cache
def widest() -> float:
    """Return how far AU26 at 5 drops the jaw."""
    head = load_head()
    jaw, moved_V3 = Jaw.of(head), head.vertices.copy()
    shape = head.shapes["jawOpen"]
    rows = slice(head.starts[shape], head.starts[shape + 1])
    moved_V3[head.rows[rows]] += head.deltas[rows] * np.float32(ACTIONS[26]["jawOpen"])
    return jaw.dropped(moved_V3) - jaw.dropped(head.vertices)


def intensity_of_drop(jaw_cm: float) -> float:
    """Return AU26's intensity (0-5, in steps of .05) of a jaw that has dropped by `jaw_cm`."""
    if jaw_cm < _SEEN_CM:
        return 0.0
    intensity = np.interp(jaw_cm, gain(_LETTERS) * widest(), _LETTERS)
    return float(np.round(intensity / _STEP) * _STEP)
