"""What a set of labels says about AUs together: its distinct label vectors, rates, correlations and levels.

Legend: N frames, R distinct rows (label vector, levels and subject), G distinct masks, A action units, L = 6 levels
(intensities 0-5).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ausynth import facs
from ausynth.errors import ConfigurationError
from ausynth.labels import Labels
from ausynth.schedule import Integers

__all__ = ["LEVELS", "Doubles", "LabelTable", "correlation", "first_level", "ratio_or_nan"]

Doubles = NDArray[np.float64]

LEVELS = 6
"""Intensities 0-5."""

_NOBODY = -1


def first_level(threshold: float) -> int:
    """Return the lowest intensity level at which an AU occurs: 2 for the threshold 2."""
    return math.ceil(threshold)


@dataclass(frozen=True, eq=False)
class LabelTable:
    """Labels collapsed to their distinct rows: what follows costs the same for a thousand frames and a million.

    Attributes:
        aus: the A action units.
        present: (R, A) float 0 or 1; 0 where unknown.
        masks: (G, A) float 0 or 1, the distinct sets of known AUs.
        mask_of: (R,) int, which of them a row has.
        level: (R, A) int8 0-5, -1 where the level is not known, or does not agree with the occurrence.
        subject_of: (R,) int, -1 where unknown.
        subjects: the names behind `subject_of`.
        mass: (R,) the share of each row in the natural distribution; sums to 1.
        square: (R,) the sum of the squared shares of its frames, for effective sample sizes.
        row_of: (N,) int, the row of each frame (of each pattern, where patterns and counts were given).
        frames: how many frames there are.
    """

    aus: tuple[int, ...]
    present: Doubles
    masks: Doubles
    mask_of: Integers
    level: NDArray[np.int8]
    subject_of: Integers
    subjects: tuple[str, ...]
    mass: Doubles
    square: Doubles
    row_of: Integers
    frames: int

    @classmethod
    def of_labels(
        cls,
        labels: Labels,
        *,
        subjects: ArrayLike | None = None,
        base: ArrayLike | None = None,
        levels: bool = True,
        threshold: float = 2.0,
    ) -> LabelTable:
        """Return the table of per-frame labels.

        Args:
            labels: of N frames.
            subjects: (N,) who is shown, any names or numbers.
            base: (N,) how often each frame would come by itself, in any unit; default alike.
            levels: keep rows of different intensities apart.
            threshold: the intensity from which an AU occurs; a level that contradicts the occurrence is dropped.
        """
        if not len(labels):
            raise ConfigurationError("no labels to balance", expected="the labels of at least one frame")
        state_NA = np.nan_to_num(labels.occurrence, nan=2).astype(np.int8)
        level_NA = np.full(state_NA.shape, -1, np.int8)
        if levels:
            whole_NA = np.rint(np.nan_to_num(labels.intensity, nan=-1)).astype(np.int8)
            agrees_NA = (whole_NA >= 0) & ((whole_NA >= first_level(threshold)) == (state_NA == 1)) & (state_NA < 2)
            level_NA = np.where(agrees_NA, whole_NA, level_NA)
        mass_N = np.ones(len(labels)) if base is None else np.asarray(base, dtype=np.float64)
        who = _numbered(subjects, len(labels))
        return cls._collapse(labels.aus, (state_NA, level_NA), who, mass_N, np.ones(len(labels)))

    @classmethod
    def of_patterns(cls, aus: Sequence[int], patterns: Any, counts: ArrayLike) -> LabelTable:
        """Return the table of patterns, (M, A) of 0, 1 and NaN or M texts like "0110", with counts (M,)."""
        rows = [[float(cell) for cell in p] for p in patterns] if _is_text(patterns) else patterns
        pattern_MA = np.asarray(rows, dtype=np.float64)
        count_M = np.asarray(counts, dtype=np.float64)
        if pattern_MA.ndim != 2 or pattern_MA.shape != (len(count_M), len(aus)) or not len(count_M):
            raise ConfigurationError(
                f"patterns of shape {pattern_MA.shape} with {count_M.size} counts over {len(aus)} AUs",
                expected=f"(M, {len(aus)}) and (M,): a row a pattern, a column an AU",
            )
        if not np.isin(pattern_MA[~np.isnan(pattern_MA)], (0, 1)).all():
            raise ConfigurationError("patterns that hold other values than 0 and 1", expected="0, 1, or NaN: unknown")
        state_MA = np.nan_to_num(pattern_MA, nan=2).astype(np.int8)
        nobody = _numbered(None, len(count_M))
        level_MA = np.full(state_MA.shape, -1, np.int8)
        return cls._collapse(facs.label_space(aus), (state_MA, level_MA), nobody, count_M, count_M)

    @classmethod
    def _collapse(
        cls,
        aus: tuple[int, ...],
        cells: tuple[NDArray[np.int8], NDArray[np.int8]],
        who: tuple[Integers, tuple[str, ...]],
        mass_N: Doubles,
        count_N: Doubles,
    ) -> LabelTable:
        state_NA, level_NA = cells
        if mass_N.shape != (len(state_NA),) or not (mass_N >= 0).all() or not 0 < mass_N.sum() < math.inf:
            raise ConfigurationError(
                f"weights or counts of shape {mass_N.shape}, from {np.nanmin(mass_N, initial=0):g}",
                expected=f"({len(state_NA)},) of numbers, 0 or more, not all 0",
            )
        subject_N, names = who
        keys = np.concatenate((state_NA, level_NA, subject_N.astype("<i4")[:, None].view(np.int8)), axis=1)
        whole_rows = keys.view([("", f"V{keys.shape[1]}")]).ravel()
        _, first_R, row_N = np.unique(whole_rows, return_index=True, return_inverse=True)
        row_N = row_N.reshape(-1).astype(np.int64)
        each_N = mass_N / mass_N.sum()
        # A pattern's frames share its mass evenly.
        square_N = np.divide(each_N**2, count_N, out=np.zeros_like(each_N), where=count_N > 0)
        masks_GA, mask_R = np.unique(state_NA[first_R] < 2, axis=0, return_inverse=True)
        return cls(
            aus=aus,
            present=(state_NA[first_R] == 1).astype(np.float64),
            masks=masks_GA.astype(np.float64),
            mask_of=mask_R.reshape(-1).astype(np.int64),
            level=level_NA[first_R],
            subject_of=subject_N[first_R],
            subjects=names,
            mass=_sums(row_N, each_N, len(first_R)),
            square=_sums(row_N, square_N, len(first_R)),
            row_of=row_N,
            frames=max(round(float(count_N.sum())), 1),
        )

    def known(self, share_R: Doubles) -> Doubles:
        """Return (A, A) under the shares (R,): how often both AUs are known."""
        mass_G = _sums(self.mask_of, share_R, len(self.masks))
        known_AA: Doubles = (self.masks * mass_G[:, None]).T @ self.masks
        return known_AA

    def moments(self, share_R: Doubles) -> tuple[Doubles, Doubles, Doubles]:
        """Return three (A, A) under the shares (R,): both present, first present and second known, both known."""
        weighted_AR = (self.present * share_R[:, None]).T
        return weighted_AR @ self.present, weighted_AR @ self.masks[self.mask_of], self.known(share_R)

    def level_mass(self, share_R: Doubles) -> Doubles:
        """Return (A, L): the share of frames with each AU at each level, under the shares (R,)."""
        aus = len(self.aus)
        cell_RA = np.where(self.level < 0, LEVELS, self.level) + (LEVELS + 1) * np.arange(aus)
        mass = _sums(cell_RA.ravel(), np.repeat(share_R, aus), aus * (LEVELS + 1))
        return mass.reshape(aus, LEVELS + 1)[:, :LEVELS]

    @cached_property
    def rates(self) -> Doubles:
        """(A,) natural rate of each AU where it is known; NaN where it nowhere is."""
        both, _, known = self.moments(self.mass)
        return ratio_or_nan(np.diag(both), np.diag(known))

    @cached_property
    def phi(self) -> Doubles:
        """(A, A) natural correlation of each pair among the frames where both are known; 0 where there is none."""
        return np.nan_to_num(correlation(*self.moments(self.mass)))

    def effective_share(self, weight_R: Doubles) -> float:
        """Return 1 / (N sum u^2) of the frames' shares u under weights (R,) relative to the natural shares."""
        return float(1 / (self.frames * (self.square @ weight_R**2)))

    def people(self, weight_R: Doubles) -> Doubles:
        """Return (A,): by how many subjects each AU is carried, 1 / (sum of squared shares); 0 where by none."""
        known_R = self.subject_of != _NOBODY
        carried_AS = np.zeros((len(self.aus), len(self.subjects)))
        share_R = self.mass * weight_R
        for column in range(len(self.aus)):
            present_R = self.present[known_R, column] * share_R[known_R]
            carried_AS[column] = _sums(self.subject_of[known_R], present_R, len(self.subjects))
        squares_A = (carried_AS**2).sum(axis=1)
        people_A: Doubles = np.nan_to_num(ratio_or_nan(carried_AS.sum(axis=1) ** 2, squares_A, least=0))
        return people_A


def correlation(both_AA: Doubles, first_AA: Doubles, known_AA: Doubles) -> Doubles:
    """Return (A, A) phi coefficients from `LabelTable.moments`; NaN on the diagonal and where an AU never varies."""
    joint_AA, p_AA = ratio_or_nan(both_AA, known_AA), ratio_or_nan(first_AA, known_AA)
    q_AA = p_AA.T
    spread_AA = np.sqrt(np.maximum(p_AA * (1 - p_AA) * q_AA * (1 - q_AA), 0))
    phi_AA = ratio_or_nan(joint_AA - p_AA * q_AA, spread_AA, least=1e-9)
    np.fill_diagonal(phi_AA, np.nan)
    clipped_AA: Doubles = np.clip(phi_AA, -1, 1)
    return clipped_AA


def ratio_or_nan(part: Doubles, whole: Doubles, least: float = 1e-12) -> Doubles:
    """Return part / whole, NaN where the whole is (nearly) nothing."""
    ratio: Doubles = np.divide(part, whole, out=np.full(np.shape(part), np.nan), where=whole > least)  # not where NaN
    return ratio


def _sums(place: Integers, values: Doubles, count: int) -> Doubles:
    return np.bincount(place, values, count).astype(np.float64, copy=False)


def _numbered(subjects: ArrayLike | None, count: int) -> tuple[Integers, tuple[str, ...]]:
    if subjects is None:
        return np.full(count, _NOBODY, np.int64), ()
    names, number_N = np.unique(np.asarray(subjects), return_inverse=True)
    if number_N.shape != (count,):
        raise ConfigurationError(f"{number_N.size} subjects for {count} frames", expected="one for each")
    return number_N.astype(np.int64), tuple(map(str, names))


def _is_text(patterns: Any) -> bool:
    return len(patterns) > 0 and isinstance(patterns[0], str)
