"""From label vectors that change at once to expressions with onset, apex and offset, in a person's own manner.

A muscle needs time. Where an AU begins to occur, its intensity rises through the threshold of occurrence just there, up
to its apex, and falls through it again where the occurrence ends; so the occurrences, and with them the rates and
correlations of the data set, stay what they were. Between two frames an intensity never changes by a whole letter.

Legend of the shapes: T frames, A action units.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ausynth.errors import ConfigurationError
from ausynth.labels import Floats

__all__ = ["Manner", "perform"]

_ONSET: Final = (0.35, 0.95)
_OFFSET: Final = (0.12, 0.55)
"""Letters a frame, at 20 frames a second: smiles rise in 0.2-0.7 s and fall more slowly (Schmidt, Cohn and Tian,
"Signal characteristics of spontaneous facial expressions", Biological Psychology 2003, report such durations)."""
_STRENGTH: Final = 0.18


@dataclass(frozen=True, eq=False)
class Manner:
    """How one person moves.

    Attributes:
        onset, offset: (A,) letters a frame, above 0 and below 1.
        strength: (A,) how strong an apex is beside what was asked, about 0.6-1.5.
    """

    onset: Floats
    offset: Floats
    strength: Floats

    def __post_init__(self) -> None:
        for name in ("onset", "offset"):
            speed_A = getattr(self, name)
            if not ((speed_A > 0) & (speed_A < 1)).all():
                raise ConfigurationError(f"{name} {speed_A}", expected="above 0 and below 1 letter a frame")
        if not (np.isfinite(self.strength) & (self.strength > 0)).all():
            raise ConfigurationError(f"strength {self.strength}", expected="above 0")

    @classmethod
    def of(cls, person: int, aus: int) -> Manner:
        """Return the manner of a person, given by number, over so many AUs: always the same for the same number."""
        draw = np.random.default_rng([person, 41])
        # Quick people are quick in every AU, expressive ones strong in every AU.
        haste, power = draw.random(), draw.normal()
        share_A = np.clip(0.6 * haste + 0.4 * draw.random(aus), 0, 1)
        strength_A = np.exp(_STRENGTH * (0.8 * power + 0.6 * draw.standard_normal(aus)))
        onset_A, offset_A = (low + (high - low) * share_A for low, high in (_ONSET, _OFFSET))
        return cls(*(np.asarray(each_A, np.float32) for each_A in (onset_A, offset_A, np.clip(strength_A, 0.6, 1.5))))


def perform(asked_TA: Floats, manner: Manner, *, threshold: float = 1.5, ceiling: Floats | float = 5.0) -> Floats:
    """Return (T, A) float32 intensities that rise and fall, and occur just where the asked ones do.

    >>> asked = np.zeros((60, 1), np.float32)
    >>> asked[20:40] = 4
    >>> shown = perform(asked, Manner(*np.float32([[0.5], [0.25], [1.0]])))
    >>> [round(float(x), 2) for x in shown[16:28, 0]]
    [0.0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3.25, 3.75, 4.0, 4.0, 4.0]
    >>> bool(((shown >= 1.5) == (asked >= 1.5)).all())
    True

    Args:
        asked_TA: (T, A) 0-5, a step function of time.
        manner: how the person moves.
        threshold: an AU occurs at or above this; 1.5 is what rounds to intensity 2, 0.5 what rounds to 1.
        ceiling: (A,) or one number: the highest intensity an AU reaches.

    Raises:
        ConfigurationError: NaN, or something outside 0-5.
    """
    asked_TA = np.asarray(asked_TA, np.float32)
    if asked_TA.ndim != 2 or not ((asked_TA >= 0) & (asked_TA <= 5)).all():
        raise ConfigurationError(f"intensities of shape {asked_TA.shape}", expected="(T, A), 0-5 and no NaN")
    occurs_TA = asked_TA >= threshold
    apex_TA = threshold + (asked_TA - threshold) * manner.strength
    # An apex is seen for what it is: never below the letter that occurrence begins with.
    apex_TA = np.clip(apex_TA, threshold + 0.5, ceiling)
    # How far above the threshold where the AU occurs, and how far below where it does not.
    room_TA = np.where(occurs_TA, apex_TA - threshold, threshold - asked_TA).astype(np.float32)
    rising_TA, falling_TA = (
        np.where(occurs_TA, manner.onset, manner.offset),
        np.where(occurs_TA, manner.offset, manner.onset),
    )
    _limit(room_TA, occurs_TA, rising_TA)
    _limit(room_TA[::-1], occurs_TA[::-1], falling_TA[::-1])
    shown_TA: Floats = np.where(occurs_TA, threshold + room_TA, threshold - room_TA).astype(np.float32)
    return np.clip(shown_TA, 0, 5)


def _limit(room_TA: Floats, occurs_TA: NDArray[np.bool_], speed_TA: Floats) -> None:
    """Let the distance from the threshold grow by no more than the speed from frame to frame, in place."""
    for t in range(1, len(room_TA)):
        # The threshold is crossed half way between two frames.
        before_A = np.where(occurs_TA[t] == occurs_TA[t - 1], room_TA[t - 1] + speed_TA[t], speed_TA[t] / 2)
        np.minimum(room_TA[t], before_A, out=room_TA[t])
