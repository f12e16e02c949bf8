"""Gibbs sampling of occurrence patterns under FACS's rules, all chains at once, for label spaces too wide to list.

Legend: C chains, A action units.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ausynth.samplers.rules import excluded_pairs, implied_pairs
from ausynth.samplers.statistics import Doubles

__all__ = ["Chains"]

_FIT_SWEEPS, _MIX_SWEEPS, _DRAWS, _SWEEPS_BETWEEN = 60, 20, 2, 6

_LARGEST_COUPLING = 3.0
"""Stronger couplings than this are not told apart: the rates that they make are beyond what the chains can see."""


class Chains:
    """Patterns that are redrawn one AU at a time, never leaving what a face can show.

    The state goes on from one call to the next. Random words are PCG64's raw ones, which numpy promises to keep.

    Args:
        aus: the A action units.
        most: how many AUs a pattern has at most.
        count: C.
        seed: of everything.
    """

    def __init__(self, aus: Sequence[int], *, most: int, count: int, seed: int) -> None:
        self._most, self._words = most, np.random.PCG64(seed)
        self.state: NDArray[np.float32] = np.zeros((count, len(aus)), dtype=np.float32)
        self._bars = np.zeros((len(aus), len(aus)), dtype=np.float32)
        for i, j in excluded_pairs(aus):
            self._bars[i, j] = self._bars[j, i] = 1
        self._needs: list[list[int]] = [[] for _ in aus]
        self._brought_by: list[list[int]] = [[] for _ in aus]
        for cause, effect in implied_pairs(aus):
            self._needs[cause].append(effect)
            self._brought_by[effect].append(cause)

    def sweep(self, coupling: Doubles) -> None:
        """Redraw every AU of every chain once under p(s) ~ exp(s c s), c symmetric (A, A)."""
        state_CA = self.state
        pull_AA = (2 * coupling).astype(np.float32)
        count_C = state_CA.sum(axis=1)
        for au in range(state_CA.shape[1]):
            old_C = state_CA[:, au].copy()
            others_C = state_CA @ pull_AA[:, au] - old_C * pull_AA[au, au]
            odds_C = others_C + np.float32(coupling[au, au])
            # on with probability 1 / (1 + exp(-odds)): exp may overflow to inf, which is a probability of 0
            with np.errstate(over="ignore"):
                on_C = self._uniform(len(state_CA)) * (1 + np.exp(-odds_C)) < 1
            on_C &= (count_C - old_C < self._most) & (state_CA @ self._bars[:, au] == 0)
            for effect in self._needs[au]:
                on_C &= state_CA[:, effect] > 0
            for cause in self._brought_by[au]:
                on_C |= state_CA[:, cause] > 0
            state_CA[:, au] = on_C
            count_C += state_CA[:, au] - old_C

    def fit(self, rates: Doubles, joint: Doubles) -> Doubles:
        """Return the symmetric (A, A) couplings whose chains have about these rates (A,) and joint rates (A, A).

        Persistent contrastive divergence (Tieleman 2008), each coupling scaled by the variance of its feature, with
        steps that shrink and the couplings of the last half averaged.
        """
        aus = len(rates)
        coupling_AA = np.diag(np.log(rates / (1 - rates)))
        scale_AA = np.maximum(joint * (1 - joint), 0.01)
        mean_AA = np.zeros((aus, aus))
        for step in range(_FIT_SWEEPS):
            self.sweep(coupling_AA)
            reached_AA = (self.state.T @ self.state).astype(np.float64) / len(self.state)
            size = 0.3 / (1 + 4 * step / _FIT_SWEEPS)
            change_AA = size * (joint - reached_AA) / scale_AA
            np.fill_diagonal(change_AA, 2 * change_AA.diagonal())  # a pair's coupling stands twice in the matrix
            coupling_AA = coupling_AA + change_AA / 2
            off_AA = np.clip(coupling_AA, -_LARGEST_COUPLING / 2, _LARGEST_COUPLING / 2)
            coupling_AA = np.where(np.eye(aus, dtype=bool), np.clip(coupling_AA, -8, 8), off_AA)
            if step >= _FIT_SWEEPS // 2:
                mean_AA += coupling_AA / (_FIT_SWEEPS - _FIT_SWEEPS // 2)
        return mean_AA

    def draw(self, coupling: Doubles) -> NDArray[np.uint8]:
        """Return 2 C patterns, not all different, of chains that have mixed."""
        drawn = []
        for number in range(_DRAWS):
            for _ in range(_SWEEPS_BETWEEN if number else _MIX_SWEEPS):
                self.sweep(coupling)
            drawn.append(self.state.astype(np.uint8))
        return np.concatenate(drawn)

    def _uniform(self, count: int) -> NDArray[np.float32]:
        return (self._words.random_raw(count) >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-24)
