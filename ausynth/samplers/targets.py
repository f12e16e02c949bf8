"""What a balance aims at: rates, correlations and levels, named or given."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ausynth import facs
from ausynth.errors import ConfigurationError
from ausynth.samplers.published import published_phi, published_rates
from ausynth.samplers.rules import bound_pairs
from ausynth.samplers.statistics import LEVELS, Doubles, LabelTable, first_level

__all__ = ["NAMES", "Asked", "Target", "resolve"]

NAMES = ("soft", "hard", "natural", "uniform")

_CORRELATED = {"soft": 0.3, "hard": 0.0, "natural": 1.0, "uniform": 0.0}
"""alpha, the share of the natural correlations that a named target keeps."""

_PRESENT_LEVELS = (0.0, 0.10, 0.25, 0.30, 0.20, 0.15)
"""How often a present AU has level 0, 1, ... where no real label says."""

_GRADED = 50
"""Graded positives below which an AU's own levels are no guide."""


@dataclass(frozen=True, eq=False)
class Target:
    """Rates and correlations of your own.

    >>> Target(rates=0.3)
    Target(rates=0.3, correlations=0.0, levels=None)
    >>> Target(rates={12: 0.4, 25: 0.5}, correlations={(12, 25): 0.2}).rates[25]
    0.5

    Attributes:
        rates: {AU: rate}, (A,) in the order of the label space, or one for all; above 0 and below 1.
        correlations: {(AU, AU): phi}, (A, A), or one phi for all pairs; pairs that a dict leaves out are asked for 0.
        levels: {AU: 6 numbers} in any unit, how often levels 0-5 are wanted: those from the threshold up are shares
            among the pictures that show the AU, those below among the others. Others follow the real labels.
    """

    rates: Mapping[int, float] | Sequence[float] | NDArray[np.floating] | float
    correlations: Mapping[tuple[int, int], float] | NDArray[np.floating] | float = 0.0
    levels: Mapping[int, Sequence[float]] | None = None


@dataclass(frozen=True, eq=False)
class Asked:
    """A target resolved for a label space.

    Attributes:
        name: "soft", "hard", "natural", "uniform" or "own".
        rates: (A,) asked of the mixture, among the samples in which the AU is known.
        phi: (A, A) asked; 0 on the diagonal.
        joint: (A, A) rates that both AUs occur; the rates on the diagonal.
        constrained: (A, A) bool, symmetric: which rates (diagonal) and pairs are asked for. Pairs that FACS decides
            (alternatives, implied AUs) are not.
        levels: (A, 6): shares of levels among absent (below the threshold) and present (from it up) cells, each sums to
            1; see `level_shares`.
    """

    name: str
    rates: Doubles
    phi: Doubles
    joint: Doubles
    constrained: NDArray[np.bool_]
    levels: Doubles


def resolve(
    target: str | Target,
    aus: tuple[int, ...],
    real: LabelTable | None,
    *,
    alpha: float | None = None,
    threshold: float = 2.0,
) -> Asked:
    """Return what a target asks of a label space, given the real labels, or the published rates where there are none.

    With m the natural rate: "hard" asks for clip(m, .3, .5) and no correlation, "soft" for clip(sqrt(.3 m), .1, .5) and
    .3 of the natural correlations, "natural" for m and all of them, "uniform" for one rate for all AUs (the mean of the
    hard ones) and none.

    Args:
        target: one of these names, or a `Target`.
        aus: the A action units.
        real: the real labels, or None.
        alpha: the share of the natural correlations to keep, 0-1, instead of the named target's own.
        threshold: the intensity from which an AU occurs.

    Raises:
        ConfigurationError: an unknown name, a rate or correlation out of range, alpha with a `Target`.
    """
    published_A = published_rates(aus)
    natural_A = published_A if real is None else np.where(np.isnan(real.rates), published_A, real.rates)
    natural_phi_AA = published_phi(aus) if real is None else real.phi
    levels_AL = level_shares(real, len(aus), threshold, tempered=target in ("soft", "hard"))
    if isinstance(target, Target):
        if alpha is not None:
            raise ConfigurationError("alpha beside a Target", expected="the correlations in the Target")
        name, rates_A, phi_AA = "own", _own_rates(target, aus), _own_phi(target, aus)
        levels_AL = _own_levels(target, aus, levels_AL, threshold)
    elif isinstance(target, str) and target in NAMES:
        share = _CORRELATED[target] if alpha is None else alpha
        if not 0 <= share <= 1:
            raise ConfigurationError(f"alpha {alpha!r}", expected="0 (no correlation) to 1 (the natural ones)")
        name, rates_A, phi_AA = target, _named_rates(target, natural_A), share * natural_phi_AA
    else:
        raise ConfigurationError(f"target {target!r}", expected=f"one of {', '.join(NAMES)}, or a Target")
    spread_A = np.sqrt(rates_A * (1 - rates_A))
    joint_AA = np.outer(rates_A, rates_A) + phi_AA * np.outer(spread_A, spread_A)
    least_AA = np.maximum(0, np.add.outer(rates_A, rates_A) - 1)  # Frechet's bounds: more no joint rate can be
    joint_AA = np.clip(joint_AA, least_AA, np.minimum.outer(rates_A, rates_A))
    np.fill_diagonal(joint_AA, rates_A)
    with np.errstate(invalid="ignore", divide="ignore"):
        phi_AA = np.nan_to_num((joint_AA - np.outer(rates_A, rates_A)) / np.outer(spread_A, spread_A))
    np.fill_diagonal(phi_AA, 0)
    return Asked(name, rates_A, phi_AA, joint_AA, ~bound_pairs(aus), levels_AL)


def level_shares(real: LabelTable | None, aus: int, threshold: float, *, tempered: bool) -> Doubles:
    """Return (A, 6): an AU's shares of levels among absent (below the threshold) and present cells; each sums to 1.

    Present cells follow the real ones, tempered by a square root so that strong expressions are met more often; a level
    that no real label has is not asked for. Absent cells have traces as often as the real ones. Where fewer than 50
    real labels are graded, present levels are 10, 25, 30, 20, 15 in a hundred from 1 to 5, and traces are left out.
    """
    first = first_level(threshold)
    shares_AL = np.zeros((aus, LEVELS))
    shares_AL[:, 0] = 1
    shares_AL[:, first:] = _PRESENT_LEVELS[first:]
    if real is not None:
        mass_AL = real.level_mass(real.mass)
        graded_A = mass_AL * real.frames
        guide_A = graded_A[:, first:].sum(axis=1) >= _GRADED
        shares_AL[guide_A, first:] = mass_AL[guide_A, first:] ** (0.5 if tempered else 1)
        guide_A = graded_A[:, :first].sum(axis=1) >= _GRADED
        shares_AL[guide_A, :first] = mass_AL[guide_A, :first]
    return _normalised(shares_AL, first)


def _normalised(shares_AL: Doubles, first: int) -> Doubles:
    shares_AL = shares_AL.copy()
    for part in (slice(0, first), slice(first, LEVELS)):
        shares_AL[:, part] /= shares_AL[:, part].sum(axis=1, keepdims=True)
    return shares_AL


def _named_rates(name: str, natural_A: Doubles) -> Doubles:
    hard_A = np.clip(natural_A, 0.3, 0.5)
    if name == "hard":
        return hard_A
    if name == "soft":
        return np.clip(np.sqrt(0.3 * natural_A), 0.1, 0.5)
    if name == "uniform":
        return np.full_like(natural_A, hard_A.mean())
    return natural_A


def _own_rates(target: Target, aus: tuple[int, ...]) -> Doubles:
    rates: Any = target.rates
    if isinstance(rates, Mapping):
        missing = [au for au in aus if au not in rates]
        if missing:
            raise ConfigurationError(f"a target without a rate for AU {missing}", expected=f"one for each of {aus}")
        rates = [rates[au] for au in aus]
    try:
        rates_A = np.broadcast_to(np.asarray(rates, dtype=np.float64), (len(aus),)).copy()
    except ValueError:
        raise ConfigurationError(
            f"target rates of shape {np.shape(rates)}", expected=f"one for each of the {len(aus)} AUs, or one for all"
        ) from None
    if not ((rates_A > 0) & (rates_A < 1)).all():
        raise ConfigurationError(f"target rates {rates_A.tolist()}", expected="numbers above 0 and below 1")
    return rates_A


def _own_phi(target: Target, aus: tuple[int, ...]) -> Doubles:
    given: Any = target.correlations
    phi_AA = np.zeros((len(aus), len(aus)))
    if isinstance(given, Mapping):
        for (first, second), value in given.items():
            if first in aus and second in aus and first != second:
                i, j = aus.index(first), aus.index(second)
                phi_AA[i, j] = phi_AA[j, i] = value
    else:
        try:
            phi_AA[:] = np.asarray(given, dtype=np.float64)
        except ValueError:
            raise ConfigurationError(
                f"target correlations of shape {np.shape(given)}", expected=f"({len(aus)}, {len(aus)}), or one number"
            ) from None
    np.fill_diagonal(phi_AA, 0)
    if not (np.abs(phi_AA) <= 1).all() or not np.allclose(phi_AA, phi_AA.T):
        raise ConfigurationError(
            "target correlations that are none", expected="-1 to 1, the same for (i, j) and (j, i)"
        )
    return phi_AA


def _own_levels(target: Target, aus: tuple[int, ...], levels_AL: Doubles, threshold: float) -> Doubles:
    first = first_level(threshold)
    levels_AL = levels_AL.copy()
    for au, wanted in (target.levels or {}).items():
        if au not in aus:
            continue
        wanted_L: ArrayLike = np.asarray(wanted, dtype=np.float64)
        if np.shape(wanted_L) != (LEVELS,) or not all(
            (part >= 0).all() and 0 < part.sum() < math.inf for part in np.split(wanted_L, [first])
        ):
            raise ConfigurationError(
                f"target levels {list(wanted)} of {facs.ACTION_UNITS[au]}",
                expected=f"6 numbers from 0, for the levels 0-5, some below and some from level {first} above 0",
            )
        levels_AL[aus.index(au)] = wanted_L
    return _normalised(levels_AL, first)
