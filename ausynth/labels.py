"""AU labels of N pictures: intensity, occurrence, confidence, and what is not known.

Legend of the shapes, here and everywhere: N pictures or B pictures of a batch, A action units.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ausynth import facs
from ausynth.errors import ConfigurationError

__all__ = ["DEFAULT_THRESHOLD", "Floats", "Labels"]

Floats = NDArray[np.float32]

DEFAULT_THRESHOLD = 2.0
"""An AU counts as present at this intensity or above (B, "slight"): the convention of nearly all work on DISFA."""


@dataclass(frozen=True, eq=False)
class Labels:
    """AU labels of N pictures, with what was not coded kept apart from what is absent.

    >>> labels = Labels.from_intensity((1, 12), [[0, 3], [2, float("nan")]])
    >>> labels.occurrence.tolist()
    [[0.0, 1.0], [1.0, nan]]
    >>> labels.mask.tolist()
    [[True, True], [True, False]]
    >>> labels.project((12, 25)).mask.tolist()
    [[True, False], [False, False]]

    Occurrence and intensity are kept separately because a coder may have said *that* an AU is present and not how
    strongly (BP4D's AU_OCC): such a cell has a known occurrence and the intensity NaN.

    Attributes:
        aus: the A action units that the columns stand for.
        intensity: (N, A) float32, 0-5 (FACS 0, A-E), NaN = not coded.
        occurrence: (N, A) float32, 0 or 1, NaN = unknown.
        confidence: (N, A) float32 in [0, 1]; 0 where the occurrence is unknown.
    """

    aus: tuple[int, ...]
    intensity: Floats
    occurrence: Floats
    confidence: Floats

    def __post_init__(self) -> None:
        object.__setattr__(self, "aus", facs.label_space(self.aus))
        for name in ("intensity", "occurrence", "confidence"):
            values_NA = np.asarray(getattr(self, name), dtype=np.float32)
            if values_NA.ndim != 2 or values_NA.shape[1] != len(self.aus) or len(values_NA) != len(self.intensity):
                raise ConfigurationError(
                    f"labels.{name} has shape {values_NA.shape}",
                    expected=f"({len(self.intensity)}, {len(self.aus)}): a row a picture, a column an AU of {self.aus}",
                )
            object.__setattr__(self, name, values_NA)
        _require_range("intensity", self.intensity, 0, 5)
        _require_range("confidence", self.confidence, 0, 1)
        known_NA = ~np.isnan(self.occurrence)
        if not np.isin(self.occurrence[known_NA], (0, 1)).all():
            raise ConfigurationError("labels.occurrence holds other values than 0 and 1", expected="0, 1, or NaN")
        if np.isnan(self.confidence).any():
            raise ConfigurationError("labels.confidence holds NaN", expected="0 where nothing is known")

    @classmethod
    def from_intensity(
        cls,
        aus: Sequence[int],
        intensity: ArrayLike,
        *,
        threshold: float = DEFAULT_THRESHOLD,
        confidence: ArrayLike | None = None,
    ) -> Labels:
        """Return labels whose occurrence is `intensity >= threshold`, unknown where the intensity is NaN."""
        _require_threshold(threshold)
        intensity_NA = np.atleast_2d(np.asarray(intensity, dtype=np.float32))
        known_NA = ~np.isnan(intensity_NA)
        occurrence_NA = np.where(known_NA, (intensity_NA >= threshold).astype(np.float32), np.nan)
        confidence_NA = known_NA.astype(np.float32) if confidence is None else np.asarray(confidence, dtype=np.float32)
        return cls(tuple(aus), intensity_NA, occurrence_NA.astype(np.float32), confidence_NA)

    @classmethod
    def unknown(cls, aus: Sequence[int], count: int) -> Labels:
        """Return `count` rows in which nothing is known."""
        nothing_NA = np.full((count, len(aus)), np.nan, np.float32)
        return cls(tuple(aus), nothing_NA, nothing_NA.copy(), np.zeros_like(nothing_NA))

    @classmethod
    def concatenate(cls, parts: Sequence[Labels]) -> Labels:
        """Return the rows of all `parts`, which must share one label space."""
        if not parts:
            raise ConfigurationError("no labels to concatenate", expected="at least one Labels")
        if any(part.aus != parts[0].aus for part in parts):
            spaces = sorted({part.aus for part in parts})
            raise ConfigurationError(f"labels of different spaces {spaces}", expected="one", do="project() them first")
        if len(parts) == 1:
            return parts[0]
        stack = {
            name: np.concatenate([getattr(part, name) for part in parts])
            for name in ("intensity", "occurrence", "confidence")
        }
        return cls._of_checked(parts[0].aus, **stack)

    def __len__(self) -> int:
        return len(self.intensity)

    def __getitem__(self, rows: Any) -> Labels:
        """Return the chosen rows: a slice, a bool (N,) mask, or an array of row numbers."""
        cells = (self.intensity[rows], self.occurrence[rows], self.confidence[rows])
        if cells[0].ndim == 1:  # a single row number
            cells = (cells[0][None], cells[1][None], cells[2][None])
        return Labels._of_checked(self.aus, *cells)

    @property
    def mask(self) -> NDArray[np.bool_]:
        """(N, A) bool: where the occurrence is known."""
        return ~np.isnan(self.occurrence)

    def project(self, aus: Sequence[int]) -> Labels:
        """Return the labels over another label space; an AU that this one lacks is unknown there, not absent."""
        target = facs.label_space(aus)
        if target == self.aus:
            return self
        shared = [au for au in target if au in self.aus]
        to, of = [target.index(au) for au in shared], [self.aus.index(au) for au in shared]
        cells = {}
        for name, nothing in (("intensity", np.nan), ("occurrence", np.nan), ("confidence", 0)):
            cells[name] = np.full((len(self), len(target)), nothing, np.float32)
            cells[name][:, to] = getattr(self, name)[:, of]
        return Labels._of_checked(target, **cells)

    def at_threshold(self, threshold: float) -> Labels:
        """Return the labels with occurrence derived anew where the intensity is known, kept where it is not."""
        _require_threshold(threshold)
        derived_NA = (self.intensity >= threshold).astype(np.float32)
        occurrence_NA = np.where(np.isnan(self.intensity), self.occurrence, derived_NA)
        confidence_NA = np.where(np.isnan(self.occurrence) & ~np.isnan(occurrence_NA), 1, self.confidence)
        return Labels._of_checked(
            self.aus, self.intensity, occurrence_NA.astype(np.float32), confidence_NA.astype(np.float32)
        )

    @classmethod
    def _of_checked(cls, aus: tuple[int, ...], intensity: Floats, occurrence: Floats, confidence: Floats) -> Labels:
        """Return labels of cells that were checked before: a stream does this several times a batch."""
        labels = object.__new__(cls)
        for name, value in (
            ("aus", aus),
            ("intensity", intensity),
            ("occurrence", occurrence),
            ("confidence", confidence),
        ):
            object.__setattr__(labels, name, value)
        return labels

    def rates(self) -> Floats:
        """Return the (A,) share of pictures in which each AU occurs, among those where it is known; NaN if nowhere."""
        known_A = self.mask.sum(axis=0)
        rates_A = np.nansum(self.occurrence, axis=0) / np.maximum(known_A, 1)
        return np.where(known_A > 0, rates_A, np.nan).astype(np.float32)


def _require_range(name: str, values_NA: Floats, low: float, high: float) -> None:
    known = values_NA[~np.isnan(values_NA)]
    if known.size and (known.min() < low or known.max() > high):
        raise ConfigurationError(
            f"labels.{name} ranges from {known.min():g} to {known.max():g}",
            expected=f"{low:g} to {high:g}, or NaN where nothing is known",
            do="map your data set's code for 'not coded' (9, 999, -1) to NaN",
        )


def _require_threshold(threshold: float) -> None:
    if not 0 < threshold <= 5:
        raise ConfigurationError(
            f"threshold {threshold!r}", expected="an intensity above 0 and up to 5; 2 is the convention on DISFA"
        )
