"""From two sides of a mixture to a `Balance`: what the weights and the distribution achieve together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ausynth.samplers.balance import Balance
from ausynth.samplers.chosen import Chosen
from ausynth.samplers.published import published_phi, published_rates
from ausynth.samplers.statistics import Doubles, LabelTable, correlation, ratio_or_nan
from ausynth.samplers.targets import Asked
from ausynth.schedule import Integers

__all__ = ["Found", "describe", "renewed"]

_UNREACHED = "Not reached: the rates of "

_OFF = 0.005
"""A rate this far from the one asked for is worth a sentence."""


@dataclass(frozen=True, eq=False)
class Found:
    """Weights and a distribution, however they were found.

    Attributes:
        real: the real labels, or None.
        weights: (R,) of the rows of `real`.
        pool: the labels of a pool, or None.
        pool_weights: (Q,) of the rows of `pool`.
        chosen: the synthetic side without a pool, or None.
        probabilities: (M,) of its patterns.
        levels: (A, L) of its AUs.
    """

    real: LabelTable | None
    weights: Doubles
    pool: LabelTable | None
    pool_weights: Doubles
    chosen: Chosen | None
    probabilities: Doubles
    levels: Doubles


def describe(
    found: Found,
    asked: Asked,
    aus: tuple[int, ...],
    *,
    ratio: float,
    first: int,
    fingerprint: str,
    steps: int = 0,
    gradient: float = 0.0,
    notes: tuple[str, ...] = (),
) -> Balance:
    """Return the balance of what was found, with every figure computed from the two sides' labels."""
    real_moments, real_levels = _of_table(found.real, found.weights, len(aus))
    if found.chosen is not None:
        synthetic_moments, synthetic_levels = _of_chosen(found.chosen, found.probabilities, found.levels)
    else:
        synthetic_moments, synthetic_levels = _of_table(found.pool, found.pool_weights, len(aus))
    both, first_only, known = (
        (1 - ratio) * real + ratio * synthetic for real, synthetic in zip(real_moments, synthetic_moments, strict=True)
    )
    reached_A = ratio_or_nan(np.diag(both), np.diag(known))
    levels_AL = (1 - ratio) * real_levels + ratio * synthetic_levels
    natural_moments, _ = _of_table(found.real, None, len(aus))
    sampled, sample_weights = (found.real, found.weights) if found.real else (found.pool, found.pool_weights)
    natural_people, reached_people = np.zeros(len(aus)), np.zeros(len(aus))
    if found.real is not None and found.real.subjects:
        natural_people = found.real.people(np.ones(len(found.weights)))
        reached_people = found.real.people(found.weights)
    balance = Balance(
        aus=aus,
        ratio=ratio,
        target=asked.name,
        fingerprint=fingerprint,
        real_weights=found.weights[found.real.row_of] if found.real else np.zeros(0),
        real_groups=_groups(found.real),
        patterns=found.chosen.patterns if found.chosen else np.zeros((0, len(aus)), np.uint8),
        probabilities=found.probabilities,
        levels=found.levels,
        tracing=found.chosen.tracing if found.chosen else np.zeros(len(aus), bool),
        shown=found.chosen.shown if found.chosen else _known_somewhere(found.pool, len(aus)),
        first_level=first,
        pool_weights=found.pool_weights[found.pool.row_of] if found.pool else np.zeros(0),
        pool_groups=_groups(found.pool),
        natural_rates=(
            ratio_or_nan(np.diag(natural_moments[0]), np.diag(natural_moments[2]))
            if found.real is not None
            else published_rates(aus)
        ),
        asked_rates=asked.rates,
        reached_rates=reached_A,
        real_rates=ratio_or_nan(np.diag(real_moments[0]), np.diag(real_moments[2])),
        synthetic_rates=ratio_or_nan(np.diag(synthetic_moments[0]), np.diag(synthetic_moments[2])),
        natural_phi=correlation(*natural_moments) if found.real is not None else published_phi(aus),
        asked_phi=np.where(asked.constrained & ~np.eye(len(aus), dtype=bool), asked.phi, np.nan),
        reached_phi=correlation(both, first_only, known),
        residual=np.where(asked.constrained, both - asked.joint * known, 0),
        moments=np.stack([both, first_only, known]),
        natural_people=natural_people,
        reached_people=reached_people,
        level_error=_level_error(levels_AL, asked.levels, first),
        effective_share=sampled.effective_share(sample_weights) if sampled else 1.0,
        largest_weight=float(sample_weights.max(initial=0)) if sampled else 1.0,
        steps=steps,
        gradient=gradient,
    )
    return replace(balance, notes=(*notes, *_what_is_missing(balance, found)))


Moments = tuple[Doubles, Doubles, Doubles]


def _of_table(table: LabelTable | None, weight_R: Doubles | None, aus: int) -> tuple[Moments, Doubles]:
    if table is None:
        nothing_AA = np.zeros((aus, aus))
        return (nothing_AA, nothing_AA, nothing_AA), np.zeros((aus, 6))
    share_R = table.mass if weight_R is None else table.mass * weight_R
    return table.moments(share_R), table.level_mass(share_R)


def _of_chosen(chosen: Chosen, probability_M: Doubles, levels_AL: Doubles) -> tuple[Moments, Doubles]:
    present_MA, shown_A = chosen.patterns.astype(np.float64), chosen.shown.astype(np.float64)
    both_AA = present_MA.T @ (present_MA * probability_M[:, None])
    moments = (both_AA, np.outer(np.diag(both_AA), shown_A), np.outer(shown_A, shown_A))
    return moments, chosen.level_mass(probability_M, levels_AL)


def unreached(balance: Balance) -> list[str]:
    """Return the sentence about rates that are not those asked for, if there are any."""
    off_A = _off(balance)
    names = ", ".join(f"AU{au}" for au, here in zip(balance.aus, off_A, strict=True) if here)
    return [f"{_UNREACHED}{names}. More synthetic samples, or looser caps, would help."] if names else []


def renewed(notes: Sequence[str], balance: Balance) -> tuple[str, ...]:
    """Return the notes of a balance whose rates have changed since they were written."""
    return (*(note for note in notes if not note.startswith(_UNREACHED)), *unreached(balance))


def _off(balance: Balance) -> NDArray[np.bool_]:
    with np.errstate(invalid="ignore"):
        off_A: NDArray[np.bool_] = np.abs(balance.reached_rates - balance.asked_rates) > _OFF
    return off_A


def _level_error(mass_AL: Doubles, asked_AL: Doubles, first: int) -> float:
    side_AL = np.empty_like(mass_AL)
    for part in (slice(0, first), slice(first, mass_AL.shape[1])):
        side_AL[:, part] = mass_AL[:, part].sum(axis=1, keepdims=True)
    total_A = mass_AL.sum(axis=1, keepdims=True)
    off_AL = np.abs(mass_AL - asked_AL * side_AL) / np.where(total_A > 0, total_A, 1)
    return float(off_AL.max(initial=0))


def _groups(table: LabelTable | None) -> Integers:
    """Return (N,) numbers that are equal for frames of one occurrence pattern, known or not."""
    if table is None:
        return np.zeros(0, np.int64)
    states_RA = table.present + 2 * (1 - table.masks[table.mask_of])
    _, group_R = np.unique(states_RA.astype(np.int8), axis=0, return_inverse=True)
    groups_N: Integers = group_R.reshape(-1).astype(np.int64)[table.row_of]
    return groups_N


def _known_somewhere(table: LabelTable | None, aus: int) -> NDArray[np.bool_]:
    known_A: NDArray[np.bool_] = np.zeros(aus, bool)
    if table is not None:
        known_A |= (table.masks > 0).any(axis=0)
    return known_A


def _what_is_missing(balance: Balance, found: Found) -> list[str]:
    """Return what the rates mean for a user, in sentences."""
    notes = []

    def named(where_A: NDArray[np.bool_]) -> str:
        return ", ".join(f"AU{au}" for au, here in zip(balance.aus, where_A, strict=True) if here)

    if found.real is not None:
        unknown_A = np.isnan(balance.natural_rates)
        never_A = balance.natural_rates == 0
        if unknown_A.any():
            notes.append(f"The real labels never code {named(unknown_A)}: what is known of them is synthetic.")
        if never_A.any():
            notes.append(f"No real label has {named(never_A)}: every positive is synthetic.")
    if balance.ratio > 0 and not balance.shown.all():
        notes.append(f"The synthetic side does not show {named(~balance.shown)}: only real frames can balance them.")
    notes += unreached(balance)
    off_A = _off(balance)
    asked_for, most = float(balance.asked_rates[balance.shown].sum()), int(balance.patterns.sum(axis=1).max(initial=0))
    if off_A.any() and found.chosen is not None and asked_for > most:
        notes.append(f"The rates asked for are {asked_for:.1f} AUs a face, and a synthetic one has {most} at most.")
    lost_A = np.isnan(balance.reached_rates)
    if lost_A.any():
        notes.append(f"Nothing says anything about {named(lost_A)}: leave them out of the label space.")
    bound = [(i, j) for i, j in zip(*np.nonzero(np.triu(np.isnan(balance.asked_phi), 1)), strict=True)]
    if bound:
        pairs = ", ".join(f"{balance.aus[i]}-{balance.aus[j]}" for i, j in bound)
        notes.append(f"Nothing is asked of the pairs {pairs}: FACS decides them.")
    return notes
