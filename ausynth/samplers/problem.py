"""The calibration as a problem: what it depends on, the dual as one function, and the solution."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ausynth.errors import ConfigurationError
from ausynth.samplers.balance import Balance
from ausynth.samplers.chosen import Chosen
from ausynth.samplers.convex import minimise
from ausynth.samplers.dual import Packing, Side, Weighed
from ausynth.samplers.outcome import Found, describe
from ausynth.samplers.prior import MOST_ACTIVE, PROTOTYPE_SHARE, TEMPERATURE, Prior, fit_prior
from ausynth.samplers.statistics import Doubles, LabelTable
from ausynth.samplers.targets import Asked

__all__ = ["Objective", "Problem", "synthetic_prior", "synthetic_side"]

_VERSION = 1
"""Part of every fingerprint: counts up when the same arguments come to mean another solution."""

_GRADIENT, _STEPS = 5e-5, 500
"""A derivative left over is an error of a joint rate: this one is a twentieth of what a thousand samples can show."""


@dataclass(frozen=True, eq=False)
class Problem:
    """One question, and its answer.

    Attributes:
        aus: the A action units.
        ratio: the share of synthetic samples.
        asked: the target.
        real: the real labels, or None.
        pool: the final labels of a pool that is the synthetic side, or None.
        shown: (A,) bool, the AUs that the generator controls; none where there is no generator to ask.
        prior: over the AUs shown; None: fitted when it is needed.
        settings: everything else by name.
        subject_shares: (S,) what is asked of each subject of `real`, of sum 1.
    """

    aus: tuple[int, ...]
    ratio: float
    asked: Asked
    real: LabelTable | None
    pool: LabelTable | None
    shown: NDArray[np.bool_]
    prior: Prior | None
    settings: dict[str, float]
    subject_shares: Doubles

    @property
    def fingerprint(self) -> str:
        """Return a hash of everything that the solution depends on."""
        digest = hashlib.sha256(json.dumps([_VERSION, self.aus, self.ratio, self.settings]).encode())
        arrays: list[Any] = [self.asked.rates, self.asked.joint, self.asked.levels, self.asked.constrained, self.shown]
        arrays.append(self.subject_shares)
        for table in (self.real, self.pool):
            if table is not None:
                arrays += [table.present, table.masks, table.mask_of, table.level, table.subject_of, table.mass]
                arrays += [table.square, table.row_of, np.array([table.frames])]
        if self.prior is not None:
            arrays += [self.prior.patterns, self.prior.log_probability]
        for values in arrays:
            digest.update(f"{values.dtype.str}{values.shape}".encode())
            digest.update(np.ascontiguousarray(values).tobytes())
        return f"balance-{digest.hexdigest()[:16]}"

    def solve(self) -> Balance:
        """Return the optimum of the dual, as a balance."""
        settings, first = self.settings, int(self.settings["first"])
        caps = (settings["lo"], settings["hi"])
        weighed: list[Weighed] = []
        if self.real is not None and self.ratio < 1:
            weighed.append(Weighed(self.real, self.asked.joint, share=1 - self.ratio, temperature=1, caps=caps))
        if self.pool is not None:
            weighed.append(
                Weighed(self.pool, self.asked.joint, share=self.ratio, temperature=settings["tau"], caps=caps)
            )
        chosen = self._chosen() if self.shown.any() else None
        graded_A = np.zeros(len(self.aus), dtype=bool)
        for side in weighed:
            graded_A |= (side.table.level >= 0).any(axis=0)
        if chosen is not None:  # without a label that is graded too: what AU7 may not show beside AU5 it shows alone
            graded_A |= chosen.bounded
        packing = Packing(self.asked, first, graded_A, self.subject_shares if self.ratio < 1 else np.zeros(0))
        objective = Objective(packing, weighed, chosen, settings["sigma2"])
        point, steps, gradient = minimise(objective, np.zeros(objective.size), gradient=_GRADIENT, steps=_STEPS)
        multipliers = packing.unpack(point[len(weighed) :])
        weights = {id(side.table): side.weights(multipliers) for side in weighed}
        real_R = np.zeros(0) if self.real is None else weights.get(id(self.real), np.ones(len(self.real.mass)))
        pool_R = np.zeros(0) if self.pool is None else weights[id(self.pool)]
        probability_M, levels_AL = chosen.solution(multipliers) if chosen else (np.zeros(0), self.asked.levels)
        notes = () if gradient <= 10 * _GRADIENT else (f"Stopped after {steps} steps, short of the optimum.",)
        return describe(
            Found(self.real, real_R, self.pool, pool_R, chosen, probability_M, levels_AL),
            self.asked,
            self.aus,
            ratio=self.ratio,
            first=first,
            fingerprint=self.fingerprint,
            steps=steps,
            gradient=gradient,
            notes=notes,
        )

    def _chosen(self) -> Chosen:
        return synthetic_side(
            self.prior or self._prior(),
            self.aus,
            self.asked,
            self.shown,
            ratio=self.ratio,
            tau=self.settings["tau"],
            first=int(self.settings["first"]),
        )

    def _prior(self) -> Prior:
        settings = self.settings
        return synthetic_prior(
            self.real,
            self.aus,
            self.shown,
            temperature=settings["temperature"],
            prototypes=settings["prototypes"],
            most=int(settings["most"]),
            seed=int(settings["seed"]),
        )


class Objective:
    """The dual as a function of one vector: each weighed side's b, then the multipliers.

    Args:
        packing: of the multipliers.
        weighed: the sides that are weighed.
        chosen: the side that is chosen, or None.
        sigma2: the slack.
    """

    def __init__(self, packing: Packing, weighed: list[Weighed], chosen: Chosen | None, sigma2: float) -> None:
        self.size = len(weighed) + packing.size
        self._packing, self._weighed, self._chosen, self._sigma2 = packing, weighed, chosen, sigma2

    def __call__(self, point: Doubles) -> tuple[float, Doubles]:
        """Return the dual and its gradient."""
        offsets, theta = point[: len(self._weighed)], point[len(self._weighed) :]
        at = self._packing.unpack(theta)
        sides: list[Side] = [side.at(float(b), at) for side, b in zip(self._weighed, offsets, strict=True)]
        slopes = [side.offset for side in sides]
        if self._chosen is not None:
            sides.append(self._chosen.at(at, levels=self._packing.graded))
        value = sum(side.value for side in sides) + 0.5 * self._sigma2 * float(theta @ theta)
        return value, np.concatenate([slopes, self._packing.gradient(sides) + self._sigma2 * theta])


def synthetic_prior(
    real: LabelTable | None,
    aus: tuple[int, ...],
    shown: NDArray[np.bool_] | None = None,
    *,
    temperature: float = TEMPERATURE,
    prototypes: float = PROTOTYPE_SHARE,
    most: int = MOST_ACTIVE,
    seed: int = 0,
) -> Prior:
    """Return the prior of the AUs shown, fitted to the real labels, or to the published rates without them."""
    shown_A = np.ones(len(aus), bool) if shown is None else shown
    space = tuple(au for au, here in zip(aus, shown_A, strict=True) if here)
    rates = phi = observed = None
    if real is not None:
        rates, phi = real.rates[shown_A], real.phi[np.ix_(shown_A, shown_A)]
        observed = real.present[:, shown_A], real.mass
    return fit_prior(
        space, rates, phi, observed=observed, temperature=temperature, prototypes=prototypes, most=most, seed=seed
    )


def synthetic_side(
    prior: Prior,
    aus: tuple[int, ...],
    asked: Asked,
    shown: NDArray[np.bool_],
    *,
    ratio: float,
    tau: float,
    first: int,
) -> Chosen:
    """Return the synthetic side of a label space of which the prior holds the AUs shown."""
    if prior.aus != tuple(au for au, here in zip(aus, shown, strict=True) if here):
        raise ConfigurationError(
            f"a prior over {prior.aus}", expected="the AUs of the label space that the generator controls, in its order"
        )
    patterns_MA = np.zeros((len(prior), len(aus)), np.uint8)
    patterns_MA[:, shown] = prior.patterns
    return Chosen(aus, patterns_MA, prior.log_probability, shown=shown, asked=asked, share=ratio, tau=tau, first=first)
