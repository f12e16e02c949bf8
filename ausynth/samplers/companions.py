"""AUs outside the balance that join a label vector now and then, as far as FACS allows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from ausynth import facs
from ausynth.labels import Floats
from ausynth.samplers.rules import excluded_pairs, implied_pairs
from ausynth.schedule import Integers, uniform

__all__ = ["Companions"]

_OFTEN: Final = 0.05
"""How often an AU outside joins: a detector must not learn that the AUs it is not asked for are absent."""

_LEVELS: Final = (0.10, 0.25, 0.30, 0.20, 0.15)
"""How often one that joins has intensity 1, 2, ... 5."""


class Companions:
    """Adds AUs of the generator that a balance does not know to label vectors that it does.

    Each joins with probability 0.05 exp(-penalties) given what the face shows, one after another: the prior of a face
    with these AUs, given those that are fixed. What is fixed stays as it is: an AU that is an alternative to one there,
    or that would bring another of the balance with it, does not join. One that the fixed AUs imply is always there.

    Args:
        aus: the AUs that the generator controls.
        known: those that the balance decides.
    """

    def __init__(self, aus: Sequence[int], known: Sequence[int]) -> None:
        self._aus = tuple(aus)
        self._place = {au: column for column, au in enumerate(aus)}
        self._outside = [self._place[au] for au in aus if au not in set(known)]
        self._bars = np.zeros((len(aus), len(aus)), bool)
        for i, j in excluded_pairs(aus):
            self._bars[i, j] = self._bars[j, i] = True
        self._penalties = np.zeros((len(aus), len(aus)))
        for (first, second), value in facs.ANTAGONISTS.items():
            if first in self._place and second in self._place:
                i, j = self._place[first], self._place[second]
                self._penalties[i, j] = self._penalties[j, i] = value
        self._implied = implied_pairs(aus)
        self.parameters = (1, _OFTEN, _LEVELS)

    def join(self, intensity: Floats, ordinals: Integers, seed: int) -> None:
        """Add companions to the label vectors (B, A) of the ordinals (B,), in place."""
        for cause, effect in self._implied:
            if effect in self._outside:
                np.maximum(intensity[:, effect], intensity[:, cause], out=intensity[:, effect])
        for column in self._outside:
            au = self._aus[column]
            present_BA = intensity > 0
            often_B = _OFTEN * np.exp(-(present_BA @ self._penalties[:, column]))
            joins_B = (uniform(seed, "companions: who joins", ordinals, au) < often_B) & ~present_BA[:, column]
            joins_B &= ~(present_BA @ self._bars[:, column])
            for cause, effect in self._implied:
                if cause == column:
                    joins_B &= present_BA[:, effect]
            level_B = 1 + np.searchsorted(np.cumsum(_LEVELS)[:-1], uniform(seed, "companions: level", ordinals, au))
            if au == 5 and 7 in self._place:  # 7 at level E excludes 5
                joins_B &= intensity[:, self._place[7]] < 5
            if au == 7 and 5 in self._place:
                level_B = np.where(intensity[:, self._place[5]] > 0, np.minimum(level_B, 4), level_B)
            for cause, effect in self._implied:
                if cause == column:  # what it brings is there, and as strong as it already
                    level_B = np.minimum(level_B, intensity[:, effect])
            intensity[joins_B, column] = level_B[joins_B]
