"""The dual of maximum-entropy calibration: one vector of multipliers weighs real frames and chooses synthetic ones.

The primal moves the real distribution p to u and the prior q0 to v as little as possible so that their mixture, r of it
synthetic, has the moments asked for:

    min (1-r) KL(u || p) + r tau KL(v || q0)   s.t.   (1-r) E_u g + r E_v g = 0,   lo <= u_n / p_n <= hi

Features are centred: g = y_i - t_i for an AU, y_i y_j - t_ij for a pair, and 0 where the AU (or one of the pair) is not
known. So what is asked holds among the samples in which an AU is known, which are those that a masked loss sees; where
all is known it is the usual constraint E f = t. For the levels of an AU, g = 1[level l] - T_l 1[l's side of the
threshold], with T_l the share asked for; for subjects, which only the real side has, g = 1[subject s] - p_s, with p_s
the share asked of s.

With x = b + theta.g, w = clip(e^x, lo, hi) and H(x) = w (1 + x - log w), the dual is convex:

    D = (1-r) (sum_n p_n H(x_n) - b) + r tau log sum_s q0_s exp(theta.g_s / tau) + (sigma2 / 2) |theta|^2

Its gradient is the constraint plus sigma2 theta, so at the optimum what is not reached is exactly -sigma2 theta.
(Gretton et al., "Covariate shift by kernel mean matching", 2009, bound weights alike; the dual of generalised maximum
entropy with slack: Dudik, Phillips and Schapire, JMLR 2007.)

Legend: A action units, M patterns, R rows, G masks, L = 6 levels, S subjects, Z multipliers.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ausynth.samplers.quadratic import Quadratic
from ausynth.samplers.statistics import LEVELS, Doubles, LabelTable
from ausynth.samplers.targets import Asked
from ausynth.schedule import Integers

__all__ = ["Multipliers", "Packing", "Side", "Weighed"]


class Multipliers(NamedTuple):
    """The multipliers of one point, laid out for use."""

    pairs: Doubles
    """(A, A) symmetric: AUs on the diagonal, half of each pair's on both sides of it."""
    centre: Doubles
    """(A, A): the same times what is asked for; k centre k is the constant of a mask k."""
    levels: Doubles
    """(A, L), less the mean under the levels asked for on each side of the threshold."""
    subjects: Doubles
    """(S,), less their mean."""


class Side(NamedTuple):
    """One side's part of the dual at a point; every entry already has the side's share."""

    value: float
    offset: float
    """The derivative in the side's own b."""
    pairs: Doubles
    """(A, A) expected centred features."""
    levels: Doubles
    """(A, L) mass of each level."""
    subjects: Doubles
    """(S,) mass of each subject."""


class Packing:
    """Which multipliers there are, and how a flat vector holds them.

    Args:
        asked: the target.
        first: the lowest level at which an AU occurs.
        graded: (A,) bool: AUs of which some real label has a level.
        subjects: (S,) the share asked of each, of sum 1; none for no subject features.
    """

    def __init__(self, asked: Asked, first: int, graded: NDArray[np.bool_], subjects: Doubles) -> None:
        self.asked, self.first, self._subjects = asked, first, subjects
        self._aus = len(asked.rates)
        upper = np.triu_indices(self._aus)
        kept = asked.constrained[upper]
        self._upper = (upper[0][kept], upper[1][kept])
        self._half = np.where(self._upper[0] == self._upper[1], 1.0, 0.5)
        self._graded = np.flatnonzero(graded)
        self.graded = bool(self._graded.size)
        self._cuts = [len(self._half), len(self._half) + self._graded.size * LEVELS]
        self.size = self._cuts[1] + subjects.size

    def unpack(self, theta: Doubles) -> Multipliers:
        """Return the multipliers of a flat vector (Z,)."""
        pair_P, level_P, subjects_S = (
            theta[: self._cuts[0]],
            theta[self._cuts[0] : self._cuts[1]],
            theta[self._cuts[1] :],
        )
        pairs_AA = np.zeros((self._aus, self._aus))
        pairs_AA[self._upper] = pair_P * self._half
        pairs_AA.T[self._upper] = pair_P * self._half
        levels_AL = np.zeros((self._aus, LEVELS))
        if self.graded:
            levels_AL[self._graded] = level_P.reshape(-1, LEVELS)
            levels_AL -= self._side_sums(levels_AL * self.asked.levels)
        centred_S = subjects_S - self._subjects @ subjects_S
        return Multipliers(pairs_AA, pairs_AA * self.asked.joint, levels_AL, centred_S)

    def gradient(self, sides: list[Side]) -> Doubles:
        """Return the (Z,) expected features of the mixture: what is still missing, with the sign reversed."""
        pairs_AA = sum((side.pairs for side in sides), np.zeros((self._aus, self._aus)))
        parts = [pairs_AA[self._upper]]
        if self.graded:
            mass_AL = sum((side.levels for side in sides), np.zeros((self._aus, LEVELS)))
            levels_AL = mass_AL - self.asked.levels * self._side_sums(mass_AL)
            parts.append(levels_AL[self._graded].ravel())
        if self._subjects.size:
            mass_S = sum((side.subjects for side in sides), np.zeros(self._subjects.size))
            parts.append(mass_S - self._subjects * mass_S.sum())
        return np.concatenate(parts)

    def _side_sums(self, values_AL: Doubles) -> Doubles:
        """Return (A, L): for each level the sum over the levels on its side of the threshold."""
        sums_AL = np.empty_like(values_AL)
        for part in (slice(0, self.first), slice(self.first, LEVELS)):
            sums_AL[:, part] = values_AL[:, part].sum(axis=1, keepdims=True)
        return sums_AL


class Weighed:
    """A side whose samples exist and are weighed: the real one, or a pool of generated ones.

    Args:
        table: the labels.
        joint: (A, A) the joint rates asked for.
        share: of the mixture.
        temperature: 1 for the real side, tau for a pool.
        caps: the least and the largest weight, relative to the natural one.
    """

    def __init__(
        self, table: LabelTable, joint: Doubles, *, share: float, temperature: float, caps: tuple[float, float]
    ) -> None:
        self.table, self.share = table, share
        self._joint, self._tau, self._caps = joint, temperature, caps
        self._log_caps = math.log(caps[0]), math.log(caps[1])
        self._cells: Integers | None = None
        if (table.level >= 0).any():
            spread_RA = np.where(table.level < 0, LEVELS, table.level)
            self._cells = (spread_RA + (LEVELS + 1) * np.arange(len(table.aus))).astype(np.int64)
        self._somebody = table.subject_of >= 0
        self._present = Quadratic(table.present)

    def at(self, offset: float, multipliers: Multipliers) -> Side:
        """Return the side's part of the dual."""
        table = self.table
        x_R = offset + self._scores(multipliers)
        clipped_R = np.clip(x_R, *self._log_caps)
        weight_R = np.exp(clipped_R)
        cost = float(table.mass @ (weight_R * (1 + x_R - clipped_R))) - offset
        share_R = self.share * table.mass * weight_R
        both_AA, known_AA = self._present.moments(share_R), table.known(share_R)
        subjects_S = np.zeros(len(multipliers.subjects))
        if subjects_S.size:
            who_R = table.subject_of[self._somebody]
            subjects_S = np.bincount(who_R, share_R[self._somebody], subjects_S.size).astype(np.float64)
        return Side(
            value=self.share * self._tau * cost,
            offset=self._tau * float(share_R.sum() - self.share),
            pairs=both_AA - self._joint * known_AA,
            levels=np.zeros((len(both_AA), LEVELS)) if self._cells is None else table.level_mass(share_R),
            subjects=subjects_S,
        )

    def weights(self, multipliers: Multipliers) -> Doubles:
        """Return (R,) the weights at the optimum, within the caps, of mean 1 under the natural masses."""
        score_R = self._scores(multipliers)
        low, high = self._log_caps[0] - float(score_R.max()), self._log_caps[1] - float(score_R.min())
        for _ in range(100):
            middle = (low + high) / 2
            mean = self.table.mass @ np.exp(np.clip(middle + score_R, *self._log_caps))
            low, high = (middle, high) if mean < 1 else (low, middle)
        weight_R: Doubles = np.clip(np.exp(np.clip(high + score_R, *self._log_caps)), *self._caps)
        return weight_R

    def _scores(self, at: Multipliers) -> Doubles:
        """Return (R,) theta.g / tau of each row."""
        table = self.table
        score_R = self._present.forms(at.pairs)
        score_R -= np.einsum("ga,ga->g", table.masks @ at.centre, table.masks)[table.mask_of]
        if self._cells is not None:
            value_AC = np.concatenate([at.levels, np.zeros((len(at.levels), 1))], axis=1)
            score_R += value_AC.ravel()[self._cells].sum(axis=1)
        if at.subjects.size:
            score_R += np.where(self._somebody, at.subjects[table.subject_of], 0)
        return score_R / self._tau
