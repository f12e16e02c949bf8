"""From what is asked of a generator to what its pictures show: measured on a pilot, and solved through.

A generator with gates, or one whose pictures are labelled again, gives other labels than were asked for. What counts is
what it gives, so the requests are chosen such that the *final* labels have the balance's distribution.

Legend: P pilot samples, M patterns, A action units.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ausynth import facs
from ausynth.errors import ConfigurationError
from ausynth.samplers.balance import Balance
from ausynth.samplers.convex import minimise
from ausynth.samplers.outcome import renewed
from ausynth.samplers.quadratic import Quadratic
from ausynth.samplers.statistics import Doubles, correlation, ratio_or_nan

__all__ = ["Channel", "solve_through"]

_RIDGE = 0.5
"""On the log-odds of the channel's effects: one pilot sample or two do not make a rule."""

_RATES_FIRST = 0.01
"""Of the slack, what rates have: a generator that always parts the lips of a dropped jaw decides how often the two come
together, and to keep to the pair that was asked for would cost the jaw's own rate."""


@dataclass(frozen=True, eq=False)
class Channel:
    """How often each AU is final, given the pattern that was asked for.

    logit P(final AU i | request r) = bias_i + effects_i . r: an AU may fail, come unasked, or be helped or hindered by
    others asked for. Given the request, AUs are taken to come and fail independently.

    Attributes:
        aus: the A action units.
        bias: (A,).
        effects: (A, A), a row a final AU, a column one asked for.
        faithful: (A,) bool: AUs that came exactly as asked for in every pilot sample; these have no errors.
        pilot: P, for how many samples it was measured.
    """

    aus: tuple[int, ...]
    bias: Doubles
    effects: Doubles
    faithful: NDArray[np.bool_]
    pilot: int

    @classmethod
    def measure(cls, aus: Sequence[int], asked: NDArray[np.floating], final: NDArray[np.floating]) -> Channel:
        """Return the channel of a pilot: ridge logistic regression of each final AU on all that was asked.

        Args:
            aus: the A action units.
            asked: (P, A) occurrence, 0 or 1.
            final: (P, A) occurrence, 0 or 1; NaN where unknown.
        """
        space = facs.label_space(aus)
        asked_PA = np.asarray(asked, dtype=np.float64)
        final_PA = np.asarray(final, dtype=np.float64)
        if asked_PA.shape != final_PA.shape or asked_PA.ndim != 2 or asked_PA.shape[1] != len(space):
            raise ConfigurationError(
                f"requests of shape {asked_PA.shape} and final labels of shape {final_PA.shape}",
                expected=f"(P, {len(space)}) both",
            )
        if not len(asked_PA):
            raise ConfigurationError("an empty pilot", expected="a thousand samples or more")
        bias_A, effects_AA = np.zeros(len(space)), np.zeros((len(space), len(space)))
        faithful_A = np.ones(len(space), dtype=bool)
        for column in range(len(space)):
            known_P = ~np.isnan(final_PA[:, column])
            given_P = final_PA[known_P, column]
            faithful_A[column] = np.array_equal(given_P, asked_PA[known_P, column])
            if not faithful_A[column]:
                bias_A[column], effects_AA[column] = _logistic(asked_PA[known_P], given_P)
        return cls(space, bias_A, effects_AA, faithful_A, len(asked_PA))

    def final(self, patterns: NDArray[np.integer]) -> Doubles:
        """Return (M, A): how often each AU is final when the patterns (M, A) are asked for."""
        logit_MA = patterns @ self.effects.T + self.bias
        return np.where(self.faithful, patterns, 1 / (1 + np.exp(-np.clip(logit_MA, -500, 500))))


def solve_through(balance: Balance, channel: Channel, *, sigma2: float = 3e-4) -> Balance:
    """Return the balance whose requests, sent through the channel, have the label distribution of `balance`.

    The requests w move from the label distribution v as little as possible (least KL(w || v)) such that the final AUs
    and pairs are expected as often as under v; sigma2 is the slack of pairs, a hundredth of it that of rates.
    `patterns` and `probabilities` of what is returned are requests; its rates and correlations are those of final
    labels. Levels are left as they are.

    Raises:
        ConfigurationError: the channel is of other AUs than those that the balance asks for.
    """
    known = tuple(au for au, shown in zip(balance.aus, balance.shown, strict=True) if shown)
    if channel.aus != known or not len(balance.patterns):
        raise ConfigurationError(
            f"a channel of AUs {channel.aus} for a balance that asks for {known if len(balance.patterns) else 'none'}",
            expected="one measured on the balance's own requests",
        )
    columns = np.flatnonzero(balance.shown)
    given_MA = channel.final(balance.patterns[:, columns])
    given, own = Quadratic(given_MA), Quadratic(given_MA * (1 - given_MA))
    wanted_AA = Quadratic(balance.patterns[:, columns]).moments(balance.probabilities)
    upper = np.triu_indices(len(columns))
    slack_Z = np.where(upper[0] == upper[1], _RATES_FIRST * sigma2, sigma2)
    with np.errstate(divide="ignore"):
        log_share_M = np.log(balance.probabilities)

    def shares(theta: Doubles) -> tuple[Doubles, float]:
        pull_AA = np.zeros((len(columns), len(columns)))
        pull_AA[upper] = theta
        # An AU is there together with itself with probability p, not p p.
        energy_M = log_share_M + given.forms(pull_AA) + own.dot(np.diag(pull_AA))
        top = energy_M.max()
        mass_M = np.exp(energy_M - top)
        total = mass_M.sum()
        return mass_M / total, float(top + np.log(total))

    def objective(theta: Doubles) -> tuple[float, Doubles]:
        share_M, value = shares(theta)
        missing = (_final_joint(given, share_M) - wanted_AA)[upper]
        slack = 0.5 * float(slack_Z @ theta**2)
        return value - float(theta @ wanted_AA[upper]) + slack, missing + slack_Z * theta

    theta, steps, gradient = minimise(objective, np.zeros(len(upper[0])), gradient=3e-5, steps=500)
    share_M, _ = shares(theta)
    change_AA = np.zeros((len(balance.aus), len(balance.aus)))
    change_AA[np.ix_(columns, columns)] = balance.ratio * (_final_joint(given, share_M) - wanted_AA)
    both_AA, first_AA, known_MAA = balance.moments
    both_AA = both_AA + change_AA
    first_AA = first_AA + np.outer(np.diag(change_AA), balance.shown)
    synthetic_A = np.full(len(balance.aus), np.nan)
    synthetic_A[columns] = share_M @ given_MA
    digest = hashlib.sha256(balance.fingerprint.encode() + share_M.tobytes())
    off = float(np.abs(change_AA).max())
    solved = replace(
        balance,
        fingerprint=f"{balance.fingerprint}-{digest.hexdigest()[:8]}",
        probabilities=share_M,
        moments=np.stack([both_AA, first_AA, known_MAA]),
        reached_rates=ratio_or_nan(np.diag(both_AA), np.diag(known_MAA)),
        reached_phi=correlation(both_AA, first_AA, known_MAA),
        synthetic_rates=synthetic_A,
        residual=balance.residual + np.where(balance.residual != 0, change_AA, 0),
        steps=balance.steps + steps,
        gradient=max(balance.gradient, gradient),
    )
    note = (
        f"Requests are solved through the generator's errors, measured on {channel.pilot} pictures; joint rates of the "
        f"mixture move by {off:.4f} at most."
    )
    return replace(solved, notes=(*renewed(balance.notes, solved), note))


def _final_joint(given: Quadratic, share_M: Doubles) -> Doubles:
    """Return (A, A): how often two AUs are final together."""
    joint_AA = given.moments(share_M)
    np.fill_diagonal(joint_AA, given.sums(share_M))
    return joint_AA


def _logistic(asked_PA: Doubles, final_P: Doubles) -> tuple[float, Doubles]:
    """Return intercept and slopes of a ridge logistic regression."""
    design = np.concatenate([np.ones((len(asked_PA), 1)), asked_PA], axis=1)
    ridge = np.full(design.shape[1], _RIDGE)
    ridge[0] = 1e-3

    def objective(beta: Doubles) -> tuple[float, Doubles]:
        logit_P = design @ beta
        value = float(np.logaddexp(0, logit_P).sum() - final_P @ logit_P + 0.5 * ridge @ beta**2)
        rate_P = 1 / (1 + np.exp(-np.clip(logit_P, -500, 500)))
        return value, design.T @ (rate_P - final_P) + ridge * beta

    beta, _, _ = minimise(objective, np.zeros(design.shape[1]), gradient=1e-4 * len(final_P) ** 0.5, steps=200)
    return float(beta[0]), beta[1:]
