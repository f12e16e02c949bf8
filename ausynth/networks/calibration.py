"""From what networks read to the probability that an action unit is there, and to the intensity that fits it.

    r = sum_k w_k r_k
    d = (r - cut) / sqrt(1 + doubt v)
    P(intensity >= 2 | r_1 ... r_K) = sigmoid(slope (d + bend d |d|)),

per action unit, fitted on pictures whose truth is known (Platt, "Probabilistic outputs for support vector machines",
1999). v is the variance between the networks that read the same picture: where they disagree, they are worth less. bend
makes what is far from the cut surer than the logistic regression has it, and what is near it less sure.

A network that learns intensities by the squared error answers with their mean over what a picture could be: where half
of the faces that look so have an AU at 3 and half have none, it says 1.5. To call that absent is no better than a coin.
So the cut is found and not set to 2, and the intensity is, on either side of it, the mean of the truth there: a line of
its own, which never crosses 2.

Fitted on pictures that the networks have never seen, all this holds for such pictures; for others as far as they are
alike.
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

__all__ = ["JUST_ABSENT", "Calibration"]

Reals = NDArray[np.float64]

_STEPS: Final = 200
_NUMBERS: Final = ("weights", "slope", "bend", "cut", "doubt", "below", "above", "sigma")
JUST_ABSENT: Final = float(np.nextafter(np.float32(DEFAULT_THRESHOLD), np.float32(0)))
"""The highest intensity at which an AU does not count as present."""


@dataclass(frozen=True, eq=False)
class Calibration:
    """What the readings of K networks are worth, for each of A action units.

    >>> known = Calibration.plain((12,), slope=3.0)
    >>> intensity, probability = known.judge([[[1.0], [2.0], [4.0]]])
    >>> intensity.tolist(), probability.round(3).tolist()
    ([[1.0], [2.0], [4.0]], [[0.047], [0.5], [0.998]])

    Attributes:
        aus: the A action units.
        weights: (K, A) 0 or more, of each network; they sum to 1.
        slope: (A,) above 0, how fast the probability rises with the reading, at the cut.
        bend: (A,) 0 or more, how much faster it does far from there.
        cut: (A,) the reading at which it is one half.
        doubt: (A,) 0 or more, how much disagreement takes from it.
        below, above: (2, A) slope, 0 or more, and offset of the intensity where the reading is below the cut, or not.
        sigma: (A,) the root mean square of intensity less truth, where it was fitted.
    """

    aus: tuple[int, ...]
    weights: Reals
    slope: Reals
    bend: Reals
    cut: Reals
    doubt: Reals
    below: Reals
    above: Reals
    sigma: Reals

    def __post_init__(self) -> None:
        object.__setattr__(self, "aus", facs.label_space(self.aus))
        flat = (len(self.aus),)
        shapes = {"weights": (len(np.atleast_1d(self.weights)), *flat), "below": (2, *flat), "above": (2, *flat)}
        for name in _NUMBERS:
            values, shape = np.asarray(getattr(self, name), np.float64), shapes.get(name, flat)
            if values.shape != shape or not np.isfinite(values).all():
                raise ConfigurationError(f"calibration.{name} of shape {values.shape}", expected=f"{shape}, finite")
            object.__setattr__(self, name, values)
        least = min(
            float(each.min())
            for each in (self.bend, self.doubt, self.sigma, self.weights, self.below[0], self.above[0])
        )
        if (self.slope <= 0).any() or least < 0 or np.abs(self.weights.sum(0) - 1).max() > 1e-6:
            raise ConfigurationError(
                "a calibration that falls where the reading rises, or whose weights do not sum to 1",
                expected="slope above 0; weights, bend, doubt, sigma and the lines' slopes 0 or more",
            )

    @classmethod
    def plain(cls, aus: Sequence[int], networks: int = 1, *, slope: float = 2.0, doubt: float = 0.0) -> Calibration:
        """Return the calibration that believes readings as they are: cut at 2, all networks alike."""
        ones_A, line = np.ones(len(aus)), np.stack([np.ones(len(aus)), np.zeros(len(aus))])
        weights = np.full((networks, len(aus)), 1 / networks)
        cut_A = DEFAULT_THRESHOLD * ones_A
        zeros_A = 0 * ones_A
        return cls(tuple(aus), weights, slope * ones_A, zeros_A, cut_A, doubt * ones_A, line, line.copy(), ones_A)

    @classmethod
    def fit(
        cls, aus: Sequence[int], readings: ArrayLike, truth: ArrayLike, *, threshold: float = DEFAULT_THRESHOLD
    ) -> Calibration:
        """Return the calibration of readings of N pictures whose truth is known.

        Args:
            aus: the A action units.
            readings: (K, N, A) intensities as K networks read them.
            truth: (N, A) intensities as they are, NaN where not known.
            threshold: an AU is there at this intensity or above.

        Raises:
            ConfigurationError: shapes that do not fit, or an AU that is nowhere known.
        """
        readings_KNA, truth_NA = np.asarray(readings, np.float64), np.asarray(truth, np.float64)
        if readings_KNA.ndim != 3 or readings_KNA.shape[1:] != truth_NA.shape or truth_NA.shape[1] != len(aus):
            raise ConfigurationError(
                f"readings {readings_KNA.shape} and truth {truth_NA.shape} of {len(aus)} AUs",
                expected="(K, N, A) and (N, A)",
            )
        known_NA = ~np.isnan(truth_NA)
        missing = [au for column, au in enumerate(aus) if not known_NA[:, column].any()]
        if missing:
            raise ConfigurationError(
                f"AU {missing} is labelled in no picture", expected="pictures that are labelled with all AUs"
            )
        columns: dict[str, list[Any]] = {name: [] for name in _NUMBERS}
        for column in range(len(aus)):
            rows_N = known_NA[:, column]
            found = _fit_one(readings_KNA[:, rows_N, column], truth_NA[rows_N, column], threshold)
            for name in _NUMBERS:
                columns[name].append(found[name])
        return cls(tuple(aus), **{name: np.stack(values, axis=-1) for name, values in columns.items()})

    @property
    def networks(self) -> int:
        """Return K, of how many networks it takes readings."""
        return len(self.weights)

    def judge(self, readings: ArrayLike) -> tuple[Reals, Reals]:
        """Return (B, A) intensities in 0-5 and (B, A) probabilities of presence, of readings (K, B, A).

        An intensity is 2 or more exactly where the probability is one half or more.
        """
        readings_KBA = np.asarray(readings, np.float64)
        if readings_KBA.ndim != 3 or readings_KBA.shape[::2] != self.weights.shape:
            raise ConfigurationError(
                f"readings of shape {readings_KBA.shape}",
                expected=f"({self.networks}, B, {len(self.aus)}): networks, pictures, action units",
            )
        read_BA = (self.weights[:, None] * readings_KBA).sum(0)
        away_BA = (read_BA - self.cut) / np.sqrt(1 + self.doubt * readings_KBA.var(0))
        logit_BA = self.slope * (away_BA + self.bend * away_BA * np.abs(away_BA))
        probability_BA = np.asarray(1 / (1 + np.exp(-np.clip(logit_BA, -500, 500))))
        below_BA = (self.below[0] * read_BA + self.below[1]).clip(0, JUST_ABSENT)
        above_BA = (self.above[0] * read_BA + self.above[1]).clip(DEFAULT_THRESHOLD, 5)
        return np.where(read_BA >= self.cut, above_BA, below_BA), probability_BA

    def to_json(self) -> dict[str, Any]:
        """Return what `from_json` takes."""
        return {"aus": list(self.aus)} | {name: getattr(self, name).tolist() for name in _NUMBERS}

    @classmethod
    def from_json(cls, facts: dict[str, Any]) -> Calibration:
        """Return the calibration that `to_json` described."""
        return cls(tuple(facts["aus"]), **{name: np.asarray(facts[name], np.float64) for name in _NUMBERS})

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


def _fit_one(readings_KN: Reals, truth_N: Reals, threshold: float) -> dict[str, Any]:
    """Return what is to be known of one AU."""
    weights_K, slope, bend, cut, doubt = _logistic(readings_KN, (truth_N >= threshold).astype(np.float64), threshold)
    read_N = weights_K @ readings_KN
    there_N = read_N >= cut
    lines = [_line(read_N[side_N], truth_N[side_N]) for side_N in (~there_N, there_N)]
    low_N = (lines[0][0] * read_N + lines[0][1]).clip(0, JUST_ABSENT)
    high_N = (lines[1][0] * read_N + lines[1][1]).clip(DEFAULT_THRESHOLD, 5)
    sigma = float(np.sqrt(np.mean((np.where(there_N, high_N, low_N) - truth_N) ** 2)))
    found = {"weights": weights_K, "slope": slope, "bend": bend, "cut": cut, "doubt": doubt, "sigma": sigma}
    return found | {"below": lines[0], "above": lines[1]}


def _line(read_N: Reals, truth_N: Reals) -> Reals:
    """Return slope and offset of the truth on the reading by least squares, drawn a little to the truth = the reading.

    As if two more pictures were there, read as what they show.
    """
    x = np.concatenate([read_N, [0.0, 5.0]])
    y = np.concatenate([truth_N, [0.0, 5.0]])
    slope = max(float(((x - x.mean()) * (y - y.mean())).sum() / ((x - x.mean()) ** 2).sum()), 0.0)
    return np.array([slope, y.mean() - slope * x.mean()])


def _logistic(readings_KN: Reals, truth_N: Reals, threshold: float) -> tuple[Reals, float, float, float, float]:
    """Return weights, slope, bend, cut and doubt by maximum likelihood, drawn a little to equal ones, 2, .1, 2 and 1.

    The prior counts as much as a few pictures: where an AU is never there, it keeps the cut from running away.
    """
    count = len(readings_KN)
    spread_N = readings_KN.var(0)
    start = np.array([np.log(2.0), np.log(0.1), threshold, 0.0, *[0.0] * count])

    def parts(at: Reals) -> tuple[Reals, float, float, float, float]:
        raised_K = np.exp(at[4:] - at[4:].max())
        slope, bend, doubt = np.exp(at[[0, 1, 3]].clip(-10, 5)).tolist()
        return raised_K / raised_K.sum(), slope, bend, float(at[2]), doubt if count > 1 else 0.0

    def objective(at: Reals) -> tuple[float, Reals]:
        weights_K, slope, bend, cut, doubt = parts(at)
        shrink_N = 1 / np.sqrt(1 + doubt * spread_N)
        read_N = weights_K @ readings_KN
        away_N = (read_N - cut) * shrink_N
        curved_N = bend * away_N * np.abs(away_N)
        logit_N = slope * (away_N + curved_N)
        rise_N = slope * (1 + 2 * bend * np.abs(away_N))  # of the logit with what is away
        value = np.logaddexp(0, logit_N).sum() - truth_N @ logit_N + 0.5 * ((at - start) ** 2).sum()
        error_N = 1 / (1 + np.exp(-np.clip(logit_N, -500, 500))) - truth_N
        gradient = at - start
        gradient[0] += error_N @ logit_N
        gradient[1] += error_N @ (slope * curved_N)
        gradient[2] -= error_N @ (rise_N * shrink_N)
        gradient[3] -= 0.5 * error_N @ (rise_N * away_N * doubt * spread_N * shrink_N**2)
        gradient[4:] += weights_K * ((readings_KN - read_N) @ (error_N * rise_N * shrink_N))
        return float(value), gradient

    found, _, _ = minimise(objective, start, gradient=1e-4 * max(len(truth_N), 1) ** 0.5, steps=_STEPS)
    return parts(found)
