"""The side of the dual whose samples are chosen: the synthetic label distribution, occurrence and levels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ausynth.samplers.dual import Multipliers, Side
from ausynth.samplers.quadratic import Quadratic
from ausynth.samplers.rules import can_trace, tracing_aus
from ausynth.samplers.statistics import LEVELS, Doubles
from ausynth.samplers.targets import Asked

__all__ = ["LEVEL_E", "Chosen", "beside_5", "lids_and_brows"]

LEVEL_E = 5


class Chosen:
    """A distribution over occurrence patterns and, given the pattern, over levels.

    The levels of the AUs are independent of one another given the pattern, so the normaliser over all level vectors is
    a product of sums, and exact. What FACS rules out is left out of these sums: AU7 at level E beside AU5, and traces
    beside what excludes them.

    Args:
        aus: the A action units.
        patterns: (M, A) 0 or 1; 0 for an AU that the synthetic side does not show.
        log_prior: (M,).
        shown: (A,) bool: the AUs whose labels the synthetic side has; the others are unknown there.
        asked: the target; its levels are the prior's.
        share: of the mixture.
        tau: how cheap moving this side is.
        first: the lowest level at which an AU occurs.
    """

    def __init__(
        self,
        aus: Sequence[int],
        patterns: NDArray[np.uint8],
        log_prior: Doubles,
        *,
        shown: NDArray[np.bool_],
        asked: Asked,
        share: float,
        tau: float,
        first: int,
    ) -> None:
        self.patterns, self.shown, self.share, self._tau, self._first = patterns, shown, share, tau, first
        self._asked, self._levels = asked, asked.levels
        self._present = Quadratic(patterns)
        self._known = shown.astype(np.float64)
        self._constant = asked.joint * np.outer(self._known, self._known)
        self.tracing = tracing_aus(aus, asked.levels, first) & shown
        self._can = Quadratic(can_trace(patterns, aus, self.tracing))
        self._seven, self._both = lids_and_brows(patterns, aus)
        self.bounded = np.zeros(len(shown), dtype=bool)
        """(A,) bool: AUs some of whose levels depend on other AUs."""
        if self._seven is not None:
            self.bounded[self._seven] = True
        self._log_prior = log_prior
        if self._seven is not None and not asked.levels[self._seven, first:LEVEL_E].any():
            self._log_prior = np.where(self._both > 0, -np.inf, log_prior)  # AU7 knows no level beside AU5

    def at(self, multipliers: Multipliers, *, levels: bool) -> Side:
        """Return the side's part of the dual; `levels`: whether there are multipliers of levels."""
        energy_M = self._energy(multipliers)
        state = self._state(multipliers.levels) if levels else None
        if state is not None:
            energy_M += self._level_energy(state)
        top = float(energy_M.max())
        mass_M = np.exp(energy_M - top)
        total = float(mass_M.sum())
        mass_M *= self.share / total
        both_AA = self._present.moments(mass_M)
        return Side(
            value=self.share * self._tau * (top + float(np.log(total))),
            offset=0.0,
            pairs=both_AA - self.share * self._constant,
            levels=np.zeros((len(both_AA), LEVELS)) if state is None else self._level_mass(state, mass_M),
            subjects=np.zeros(multipliers.subjects.size),
        )

    def solution(self, multipliers: Multipliers) -> tuple[Doubles, Doubles]:
        """Return the probabilities (M,) and the levels (A, L): absent and present cells sum to 1 each."""
        state = self._state(multipliers.levels)
        energy_M = self._energy(multipliers) + self._level_energy(state)
        mass_M = np.exp(energy_M - energy_M.max())
        return mass_M / mass_M.sum(), state.present + state.absent

    def level_mass(self, probability_M: Doubles, levels_AL: Doubles) -> Doubles:
        """Return (A, L): how often each AU has each level under a solution."""
        present_AL, absent_AL = levels_AL.copy(), levels_AL.copy()
        present_AL[:, : self._first] = 0
        absent_AL[:, self._first :] = 0
        no_A = np.zeros(len(levels_AL))
        lids_L = None if self._seven is None else beside_5(present_AL[self._seven])
        return self._level_mass(_State(present_AL, absent_AL, lids_L, no_A, no_A, no_A, 0), probability_M)

    def _energy(self, at: Multipliers) -> Doubles:
        score_M = self._present.forms(at.pairs)
        energy_M: Doubles = self._log_prior + (score_M - self._known @ at.centre @ self._known) / self._tau
        return energy_M

    def _state(self, levels_AL: Doubles) -> _State:
        first = self._first
        pull_AL = levels_AL / self._tau
        with np.errstate(divide="ignore"):
            logit_AL = np.log(self._levels) + pull_AL
        present_AL, absent_AL = np.full_like(logit_AL, -np.inf), np.full_like(logit_AL, -np.inf)
        present_AL[:, first:], absent_AL[:, :first] = logit_AL[:, first:], logit_AL[:, :first]
        log_present_A, log_absent_A = _log_sum(present_AL), _log_sum(absent_AL)
        lids_L, log_lids = None, 0.0
        if self._seven is not None and self._levels[self._seven, first:LEVEL_E].any():
            lids = present_AL[self._seven].copy()
            lids[LEVEL_E] = -np.inf
            log_lids = float(_log_sum(lids[None])[0])
            lids_L = np.exp(lids - log_lids)
            log_lids -= float(np.log(self._levels[self._seven, first:LEVEL_E].sum()))
        return _State(
            present=np.exp(present_AL - log_present_A[:, None]),
            absent=np.exp(absent_AL - log_absent_A[:, None]),
            lids=lids_L,
            log_present=log_present_A,
            log_absent=log_absent_A,
            log_silent=pull_AL[:, 0],
            log_lids=log_lids,
        )

    def _level_energy(self, state: _State) -> Doubles:
        energy_M = self._present.dot(state.log_present - state.log_silent) + float(self._known @ state.log_silent)
        energy_M += self._can.dot(state.log_absent - state.log_silent)
        if state.lids is not None and self._seven is not None:
            energy_M += self._both * (state.log_lids - state.log_present[self._seven])
        return energy_M

    def _level_mass(self, state: _State, mass_M: Doubles) -> Doubles:
        present_A, trace_A = self._present.sums(mass_M), self._can.sums(mass_M)
        mass_AL = present_A[:, None] * state.present + trace_A[:, None] * state.absent
        mass_AL[:, 0] += mass_M.sum() * self._known - present_A - trace_A
        if state.lids is not None and self._seven is not None:
            mass_AL[self._seven] += (mass_M @ self._both) * (state.lids - state.present[self._seven])
        return mass_AL


class _State(NamedTuple):
    """The levels at a point: distributions, and the log-normalisers that enter a pattern's probability."""

    present: Doubles
    """(A, L) of a present AU."""
    absent: Doubles
    """(A, L) of an absent one that may show a trace."""
    lids: Doubles | None
    """(L,) of AU7 beside AU5."""
    log_present: Doubles
    log_absent: Doubles
    log_silent: Doubles
    """(A,) of an absent AU that may show no trace."""
    log_lids: float


def lids_and_brows(patterns: NDArray[np.uint8], aus: Sequence[int]) -> tuple[int | None, Doubles]:
    """Return the column of AU7 where AU5 is in the label space too (else None), and (M,) where both occur."""
    if not {5, 7} <= set(aus):
        return None, np.zeros(len(patterns))
    five, seven = list(aus).index(5), list(aus).index(7)
    return seven, (patterns[:, five] * patterns[:, seven]).astype(np.float64)


def beside_5(levels_L: Doubles) -> Doubles:
    """Return the distribution of AU7's levels (L,) beside AU5: never level E."""
    allowed_L = levels_L.copy()
    allowed_L[LEVEL_E] = 0
    total = allowed_L.sum()
    return allowed_L / total if total else allowed_L


def _log_sum(logit_AL: Doubles) -> Doubles:
    """Return (A,) log sum exp over the levels."""
    top_A = logit_AL.max(axis=1)
    sums_A: Doubles = top_A + np.log(np.exp(logit_AL - top_A[:, None]).sum(axis=1))
    return sums_A
