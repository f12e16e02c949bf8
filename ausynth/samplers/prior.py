"""The prior over label vectors: which occurrence patterns a face can show, and how plausible each is.

A pairwise maximum-entropy (Ising) fit of the natural rates and correlations, tempered, times the soft penalties of
antagonists, impossible patterns removed, mixed with the prototypes of emotions.

Legend: M patterns, A action units, C Gibbs chains.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ausynth import facs
from ausynth.errors import ConfigurationError, require_whole
from ausynth.samplers.convex import minimise
from ausynth.samplers.gibbs import Chains
from ausynth.samplers.published import published_phi, published_rates
from ausynth.samplers.quadratic import Quadratic
from ausynth.samplers.rules import possible_patterns
from ausynth.samplers.statistics import Doubles

__all__ = ["EXACT_UP_TO", "MOST_ACTIVE", "PROTOTYPE_SHARE", "TEMPERATURE", "Prior", "fit_prior"]

EXACT_UP_TO = 15
"""AUs up to which all patterns are listed; above, a pool of candidates is drawn."""

TEMPERATURE = 2.0
PROTOTYPE_SHARE = 0.15
MOST_ACTIVE = 7
"""AUs that a synthetic face shows at most."""

_OBSERVED_SHARE = 0.1
"""Share of the possible real patterns in a candidate pool: where the mass is needed is where the real labels are."""

_OBSERVED_MOST = 2_000
"""Real patterns that join a pool at most (and those as frequent as the last): every step costs by the pattern."""

_RATE_FLOOR = 0.003
"""No AU is taken to be rarer than this (or more common than 1 - this): its natural log-odds stay finite."""

_RIDGE = 1e-4

Patterns = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Prior:
    """A distribution over occurrence patterns that a face can show.

    >>> prior = fit_prior(facs.DISFA_8)
    >>> len(prior), prior.exact, bool(prior.patterns.sum(axis=1).max() == 7)
    (255, True, True)

    Attributes:
        aus: the A action units.
        patterns: (M, A) uint8, 0 or 1, all different, sorted.
        log_probability: (M,) float64.
        exact: whether these are all the patterns allowed; else they are a pool of candidates.
    """

    aus: tuple[int, ...]
    patterns: Patterns
    log_probability: Doubles
    exact: bool

    def __len__(self) -> int:
        return len(self.patterns)

    @property
    def rates(self) -> Doubles:
        """(A,) rate of each AU under the prior."""
        rates_A: Doubles = np.exp(self.log_probability) @ self.patterns
        return rates_A


def fit_prior(
    aus: Sequence[int],
    rates: ArrayLike | None = None,
    phi: ArrayLike | None = None,
    *,
    observed: tuple[NDArray[np.floating], Doubles] | None = None,
    temperature: float = TEMPERATURE,
    penalties: Mapping[tuple[int, int], float] = facs.ANTAGONISTS,
    prototypes: float = PROTOTYPE_SHARE,
    most: int = MOST_ACTIVE,
    candidates: int = 2048,
    seed: int = 0,
) -> Prior:
    """Return the prior of natural rates and correlations: exact up to 15 AUs, a pool drawn by Gibbs sampling above.

    >>> prior = fit_prior((12, 24, 25), rates=(0.13, 0.05, 0.28))
    >>> prior.patterns.tolist()  # 24 and 25 are alternatives
    [[0, 0, 0], [0, 0, 1], [0, 1, 0], [1, 0, 0], [1, 0, 1], [1, 1, 0]]

    Args:
        aus: the A action units.
        rates: (A,) natural rates; NaN where unknown. Default the published ones.
        phi: (A, A) natural correlations. Default the published ones.
        observed: patterns (R, A) and their masses (R,): real ones that join a candidate pool if they are possible.
        temperature: by which the fitted log-odds are divided: 1 is as natural, more is flatter.
        penalties: log-penalties of AU pairs; see `facs.ANTAGONISTS`.
        prototypes: the share of expressions of emotion, 0 to below 1.
        most: how many AUs a pattern has at most.
        candidates: how many Gibbs chains draw the pool; each gives two of its patterns.
        seed: of the pool.

    Raises:
        ConfigurationError: an argument out of range.
    """
    space = facs.label_space(aus)
    require_whole("most", most, 1)
    require_whole("candidates", candidates, 16)
    if not temperature > 0:
        raise ConfigurationError(f"temperature {temperature!r}", expected="a number above 0")
    if not 0 <= prototypes < 1:
        raise ConfigurationError(f"prototypes {prototypes!r}", expected="a share from 0 to below 1")
    rates_A, joint_AA = _moments(space, rates, phi)
    penalty_AA = _penalty_matrix(space, penalties)
    if len(space) <= EXACT_UP_TO:
        patterns_MA = _all_patterns(space, most)
        coupling_AA = fit_pairwise(patterns_MA, rates_A, joint_AA) / temperature - penalty_AA
        mass_M = np.exp(_energy(patterns_MA, coupling_AA))
        return _mixed(space, patterns_MA, [(1.0, patterns_MA, mass_M), *_expressions(space, prototypes, most)], True)
    chains = Chains(space, most=most, count=candidates, seed=seed)
    coupling_AA = chains.fit(rates_A, joint_AA) / temperature - penalty_AA
    drawn_MA = chains.draw(coupling_AA)
    parts = [(1.0, drawn_MA, np.ones(len(drawn_MA))), *_expressions(space, prototypes, most)]
    if observed is not None:
        real_RA = (np.asarray(observed[0]) > 0).astype(np.uint8)
        often_R = observed[1] >= np.sort(observed[1])[-_OBSERVED_MOST:][0]
        fits_R = possible_patterns(real_RA, space) & (real_RA.sum(axis=1) <= most) & (observed[1] > 0) & often_R
        if fits_R.any():
            parts.append((_OBSERVED_SHARE, real_RA[fits_R], observed[1][fits_R] ** (1 / temperature)))
    listed_MA = np.unique(np.concatenate([part[1] for part in parts]), axis=0)
    return _mixed(space, listed_MA, parts, False)


def fit_pairwise(patterns: Patterns, rates: Doubles, joint: Doubles) -> Doubles:
    """Return the symmetric (A, A) couplings c of p(s) ~ exp(s c s) over the patterns (M, A) with these moments.

    Maximum likelihood with a small ridge, which keeps couplings finite where a pair is never seen together.
    """
    aus = patterns.shape[1]
    rows = Quadratic(patterns)
    upper = np.triu_indices(aus)
    twice = np.where(upper[0] == upper[1], 1.0, 2.0)
    asked = joint[upper]

    def objective(free: Doubles) -> tuple[float, Doubles]:
        energy_M = rows.forms(_symmetric(free, upper, aus))
        top = energy_M.max()
        mass_M = np.exp(energy_M - top)
        total = mass_M.sum()
        reached = rows.moments(mass_M / total)[upper]
        value = top + np.log(total) - (twice * asked) @ free + 0.5 * _RIDGE * free @ free
        return float(value), twice * (reached - asked) + _RIDGE * free

    start = np.where(upper[0] == upper[1], np.log(rates / (1 - rates))[upper[0]], 0)
    free, _, _ = minimise(objective, start, gradient=5e-4, steps=200)
    return _symmetric(free, upper, aus)


def _symmetric(free: Doubles, upper: tuple[NDArray[np.intp], NDArray[np.intp]], aus: int) -> Doubles:
    coupling_AA = np.zeros((aus, aus))
    coupling_AA[upper] = free
    coupling_AA.T[upper] = free
    return coupling_AA


def _energy(patterns: Patterns, coupling_AA: Doubles) -> Doubles:
    energy_M = Quadratic(patterns).forms(coupling_AA)
    energy_M -= energy_M.max()
    return energy_M


def _moments(aus: tuple[int, ...], rates: ArrayLike | None, phi: ArrayLike | None) -> tuple[Doubles, Doubles]:
    """Return rates (A,) and joint rates (A, A) that lie within their bounds."""
    published_A = published_rates(aus)
    given_A = published_A if rates is None else np.asarray(rates, dtype=np.float64)
    phi_AA = published_phi(aus) if phi is None else np.asarray(phi, dtype=np.float64)
    if given_A.shape != (len(aus),) or phi_AA.shape != (len(aus), len(aus)):
        raise ConfigurationError(
            f"rates of shape {given_A.shape} and correlations of shape {phi_AA.shape}",
            expected=f"({len(aus)},) and ({len(aus)}, {len(aus)})",
        )
    rates_A = np.clip(np.where(np.isnan(given_A), published_A, given_A), _RATE_FLOOR, 1 - _RATE_FLOOR)
    spread_A = np.sqrt(rates_A * (1 - rates_A))
    joint_AA = np.outer(rates_A, rates_A) + np.clip(np.nan_to_num(phi_AA), -1, 1) * np.outer(spread_A, spread_A)
    least_AA = np.maximum(0, np.add.outer(rates_A, rates_A) - 1)
    joint_AA = np.clip(joint_AA, least_AA, np.minimum.outer(rates_A, rates_A))
    np.fill_diagonal(joint_AA, rates_A)
    return rates_A, joint_AA


def _penalty_matrix(aus: tuple[int, ...], penalties: Mapping[tuple[int, int], float]) -> Doubles:
    """Return the symmetric (A, A) matrix whose quadratic form is `facs.log_penalty`."""
    place = {au: column for column, au in enumerate(aus)}
    penalty_AA = np.zeros((len(aus), len(aus)))
    for (first, second), value in penalties.items():
        if first in place and second in place:
            penalty_AA[place[first], place[second]] += value / 2
            penalty_AA[place[second], place[first]] += value / 2
    return penalty_AA


def _all_patterns(aus: tuple[int, ...], most: int) -> Patterns:
    numbers_M = np.arange(1 << len(aus))
    patterns_MA: Patterns = (numbers_M[:, None] >> np.arange(len(aus))[::-1] & 1).astype(np.uint8)
    kept_MA: Patterns = patterns_MA[(patterns_MA.sum(axis=1) <= most) & possible_patterns(patterns_MA, aus)]
    return kept_MA


def _expressions(aus: tuple[int, ...], share: float, most: int) -> list[tuple[float, Patterns, Doubles]]:
    """Return the part of the mixture that is expressions: each as often, with any of its optional AUs as often."""
    rows: list[Patterns] = []
    for prototype in (*facs.PROTOTYPES.values(), *facs.COMPOUND_PROTOTYPES.values()):
        optional = [au for au in prototype.optional if au in aus]
        if not set(prototype.required) & set(aus):
            continue
        sets = [
            {*prototype.required, *extra}
            for n in range(len(optional) + 1)
            for extra in itertools.combinations(optional, n)
        ]
        variants_MA = np.array([[au in present for au in aus] for present in sets], dtype=np.uint8)
        usable_M = possible_patterns(variants_MA, aus) & (variants_MA.sum(axis=1) <= most)
        if usable_M.any():
            rows.append(variants_MA[usable_M])
    if not rows or not share:
        return []
    weights_M = np.concatenate([np.full(len(variants_MA), 1 / len(variants_MA)) for variants_MA in rows])
    return [(share / (1 - share), np.concatenate(rows), weights_M)]


def _mixed(
    aus: tuple[int, ...], patterns: Patterns, parts: list[tuple[float, Patterns, Doubles]], exact: bool
) -> Prior:
    """Return the mixture of weighted lists of patterns over the sorted list of those that occur in any."""
    keys_M = _keys(patterns)
    mass_M = np.zeros(len(patterns))
    for weight, part_PA, mass_P in parts:
        np.add.at(mass_M, np.searchsorted(keys_M, _keys(part_PA)), weight * mass_P / mass_P.sum())
    return Prior(aus, patterns, np.log(mass_M / mass_M.sum()), exact)


def _keys(patterns: Patterns) -> NDArray[np.int64]:
    """Return (M,) the patterns as whole numbers, first AU highest: the order of the sorted list."""
    return patterns.astype(np.int64) @ (1 << np.arange(patterns.shape[1], dtype=np.int64)[::-1])
