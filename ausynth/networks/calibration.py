"""From a read intensity to the probability that an action unit is there.

    P(intensity >= 2 | read r, spread v) = sigmoid(slope (r - cut) / sqrt(1 + doubt v)),

per action unit, fitted on pictures whose truth is known (Platt, "Probabilistic outputs for support vector machines",
1999). v is the variance between several networks that read the same picture: where they disagree, their mean is worth
less. Fitted on pictures that the networks have never seen, it says how often they are right there; of other pictures it
says so as far as those are alike.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ausynth import facs
from ausynth.durable import write_aside
from ausynth.errors import ConfigurationError
from ausynth.labels import DEFAULT_THRESHOLD
from ausynth.samplers.convex import minimise

__all__ = ["Calibration"]

Reals = NDArray[np.float64]

_STEPS: Final = 200
_NUMBERS: Final = ("slope", "cut", "doubt", "sigma")


@dataclass(frozen=True, eq=False)
class Calibration:
    """What a read intensity is worth, for each of A action units.

    >>> known = Calibration((12,), slope=[3.0], cut=[2.0], doubt=[1.0], sigma=[0.5])
    >>> known.probability([[1.0], [2.0], [4.0]]).round(3).tolist()
    [[0.047], [0.5], [0.998]]
    >>> known.probability([[4.0]], [[8.0]]).round(3).tolist()
    [[0.881]]

    Attributes:
        aus: the A action units.
        slope: (A,) above 0, how fast the probability rises with the reading.
        cut: (A,) the reading at which it is one half.
        doubt: (A,) 0 or more, how much disagreement of the readers takes from it.
        sigma: (A,) the root mean square of reading less truth, in intensities.
    """

    aus: tuple[int, ...]
    slope: Reals
    cut: Reals
    doubt: Reals
    sigma: Reals

    def __post_init__(self) -> None:
        object.__setattr__(self, "aus", facs.label_space(self.aus))
        for name in _NUMBERS:
            values_A = np.asarray(getattr(self, name), np.float64)
            if values_A.shape != (len(self.aus),) or not np.isfinite(values_A).all():
                raise ConfigurationError(
                    f"calibration.{name} of shape {values_A.shape}", expected=f"({len(self.aus)},), finite"
                )
            object.__setattr__(self, name, values_A)
        if (self.slope <= 0).any() or (self.doubt < 0).any() or (self.sigma < 0).any():
            raise ConfigurationError(
                "a calibration that falls where the reading rises", expected="slope above 0, doubt and sigma 0 or more"
            )

    @classmethod
    def fit(
        cls,
        aus: Sequence[int],
        read: ArrayLike,
        truth: ArrayLike,
        spread: ArrayLike | None = None,
        *,
        threshold: float = DEFAULT_THRESHOLD,
    ) -> Calibration:
        """Return the calibration of readings of N pictures whose truth is known.

        Args:
            aus: the A action units.
            read: (N, A) intensities as they were read.
            truth: (N, A) intensities as they are, NaN where not known.
            spread: (N, A) variances between the readers; None where there is one reader.
            threshold: an AU is there at this intensity or above.

        Raises:
            ConfigurationError: shapes that do not fit, or an AU that is nowhere known.
        """
        read_NA, truth_NA = np.asarray(read, np.float64), np.asarray(truth, np.float64)
        spread_NA = np.zeros_like(read_NA) if spread is None else np.asarray(spread, np.float64)
        if read_NA.ndim != 2 or not read_NA.shape == truth_NA.shape == spread_NA.shape or read_NA.shape[1] != len(aus):
            raise ConfigurationError(
                f"readings {read_NA.shape}, truth {truth_NA.shape} and spread {spread_NA.shape} of {len(aus)} AUs",
                expected="(N, A), the same for all",
            )
        known_NA = ~np.isnan(truth_NA)
        missing = [au for column, au in enumerate(aus) if not known_NA[:, column].any()]
        if missing:
            raise ConfigurationError(
                f"AU {missing} is labelled in no picture", expected="pictures that are labelled with all AUs"
            )
        columns = []
        for column in range(len(aus)):
            rows_N = known_NA[:, column]
            read_N, truth_N = read_NA[rows_N, column], truth_NA[rows_N, column]
            slope, cut, doubt = _logistic(read_N, truth_N >= threshold, spread_NA[rows_N, column], threshold)
            columns.append((slope, cut, doubt, float(np.sqrt(np.mean((read_N - truth_N) ** 2)))))
        slope_A, cut_A, doubt_A, sigma_A = np.array(columns, np.float64).T
        return cls(tuple(aus), slope_A, cut_A, doubt_A, sigma_A)

    def probability(self, read: ArrayLike, spread: ArrayLike | None = None) -> Reals:
        """Return (B, A) the probability that each AU is there, of readings (B, A) and variances between the readers."""
        read_BA = np.asarray(read, np.float64)
        logit_BA = self.slope * (read_BA - self.cut)
        if spread is not None:
            logit_BA = logit_BA / np.sqrt(1 + self.doubt * np.asarray(spread, np.float64))
        return np.asarray(1 / (1 + np.exp(-np.clip(logit_BA, -500, 500))))

    def to_json(self) -> dict[str, Any]:
        """Return what `from_json` takes."""
        return {"aus": list(self.aus)} | {name: getattr(self, name).tolist() for name in _NUMBERS}

    @classmethod
    def from_json(cls, facts: dict[str, Any]) -> Calibration:
        """Return the calibration that `to_json` described."""
        return cls(tuple(facts["aus"]), **{name: facts[name] for name in _NUMBERS})

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        write_aside(Path(path), json.dumps(self.to_json(), indent=1).encode())

    @classmethod
    def load(cls, path: Path) -> Calibration:
        """Return what `save` wrote.

        Raises:
            ConfigurationError: no such file, or another content.
        """
        try:
            return cls.from_json(json.loads(Path(path).read_text("utf-8")))
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise ConfigurationError(
                f"cannot read {path}: {error}", expected="a file that Calibration.save wrote"
            ) from error


def _logistic(
    read_N: Reals, present_N: NDArray[np.bool_], spread_N: Reals, threshold: float
) -> tuple[float, float, float]:
    """Return slope, cut and doubt of the logistic regression, drawn a little to (2, threshold, 1).

    The prior counts as much as a few pictures: where an AU is never there, it keeps the cut from running away.
    """
    truth_N = present_N.astype(np.float64)
    with_doubt = bool((spread_N > 0).any())
    start = np.array([np.log(2.0), threshold, 0.0])

    def objective(at: Reals) -> tuple[float, Reals]:
        slope, cut, doubt = np.exp(at[0]), at[1], np.exp(at[2]) if with_doubt else 0.0
        shrink_N = 1 / np.sqrt(1 + doubt * spread_N)
        logit_N = slope * (read_N - cut) * shrink_N
        value = np.logaddexp(0, logit_N).sum() - truth_N @ logit_N + 0.5 * ((at - start) ** 2).sum()
        error_N = 1 / (1 + np.exp(-np.clip(logit_N, -500, 500))) - truth_N
        gradient = at - start
        gradient[0] += error_N @ logit_N
        gradient[1] -= error_N @ (slope * shrink_N)
        gradient[2] -= 0.5 * error_N @ (logit_N * doubt * spread_N * shrink_N**2)
        return float(value), gradient

    (a, cut, b), _, _ = minimise(objective, start, gradient=1e-4 * max(len(truth_N), 1) ** 0.5, steps=_STEPS)
    return float(np.exp(np.clip(a, -5, 5))), float(cut), float(np.exp(np.clip(b, -10, 10))) if with_doubt else 0.0
