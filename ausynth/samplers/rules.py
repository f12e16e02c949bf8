"""FACS's rules over occurrence patterns: which patterns and traces a generator may be asked for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ausynth import facs
from ausynth.samplers.statistics import Doubles

__all__ = ["bound_pairs", "can_trace", "excluded_pairs", "implied_pairs", "possible_patterns", "tracing_aus"]

Bools = NDArray[np.bool_]


def implied_pairs(aus: Sequence[int]) -> list[tuple[int, int]]:
    """Return the columns (cause, effect) of each AU that brings another of `aus` with it."""
    place = {au: column for column, au in enumerate(aus)}
    pairs = ((cause, effect) for cause, effects in facs.IMPLIED.items() for effect in effects)
    return [(place[cause], place[effect]) for cause, effect in pairs if cause in place and effect in place]


def excluded_pairs(aus: Sequence[int]) -> list[tuple[int, int]]:
    """Return the columns of each pair that no face shows: alternatives, and what an implied AU excludes.

    >>> excluded_pairs((24, 25, 27))  # 27 brings 25
    [(0, 1), (0, 2)]
    """

    def brings(au: int) -> set[int]:
        return {au, *facs.IMPLIED.get(au, ())}

    alternatives = {frozenset(pair) for pair in facs.IMPOSSIBLE}
    return [
        (i, j)
        for i in range(len(aus))
        for j in range(i + 1, len(aus))
        if any(frozenset((a, b)) in alternatives for a in brings(aus[i]) for b in brings(aus[j]))
    ]


def bound_pairs(aus: Sequence[int]) -> Bools:
    """Return (A, A) bool, symmetric: the pairs whose joint rate FACS decides, so that nothing can be asked of them."""
    bound_AA = np.zeros((len(aus), len(aus)), dtype=bool)
    for i, j in (*excluded_pairs(aus), *implied_pairs(aus)):
        bound_AA[i, j] = bound_AA[j, i] = True
    return bound_AA


def possible_patterns(patterns: NDArray[np.uint8], aus: Sequence[int]) -> Bools:
    """Return (M,) bool: which patterns (M, A) a face can show, implied AUs outside the label space included."""
    present_MA = patterns > 0
    possible_M: Bools = np.ones(len(patterns), dtype=bool)
    for i, j in excluded_pairs(aus):
        possible_M &= ~(present_MA[:, i] & present_MA[:, j])
    for cause, effect in implied_pairs(aus):
        possible_M &= ~present_MA[:, cause] | present_MA[:, effect]
    return possible_M


def tracing_aus(aus: Sequence[int], levels: Doubles, first: int) -> Bools:
    """Return (A,) bool: which absent AUs may show a trace (a level below the threshold `first`).

    Of two alternatives only the one that is traced more often (the first, if equal) may: so each AU's traces depend on
    the occurrence pattern alone, and the prior over levels keeps its exact normaliser.

    Args:
        aus: the A action units.
        levels: (A, 6) shares; see `targets.level_shares`.
        first: the lowest level at which an AU occurs.
    """
    trace_A = levels[:, 1:first].sum(axis=1)
    tracing_A: Bools = trace_A > 0
    for i, j in excluded_pairs(aus):
        tracing_A[i if trace_A[i] < trace_A[j] else j] = False
    for cause, _ in implied_pairs(aus):
        tracing_A[cause] = False
    return tracing_A


def can_trace(patterns: NDArray[np.uint8], aus: Sequence[int], tracing: Bools) -> Bools:
    """Return (M, A) bool: which absent AUs of the patterns (M, A) may show a trace beside what occurs."""
    can_MA: Bools = (patterns == 0) & tracing
    place = {au: column for column, au in enumerate(aus)}
    if {5, 7} <= place.keys():  # 7 at level E excludes even a trace of 5
        can_MA[:, place[5]] &= patterns[:, place[7]] == 0
    for i, j in excluded_pairs(aus):
        can_MA[:, i] &= patterns[:, j] == 0
        can_MA[:, j] &= patterns[:, i] == 0
    return can_MA
