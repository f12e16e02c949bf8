"""How far detectors and requests are to be believed, and what follows from them together: naive Bayes.

    logit P(y) = logit P(y | claim) + sum_k log LR_k,

with LR_k = sensitivity_k / (1 - specificity_k) where detector k says present and (1 - sensitivity_k) / specificity_k
where it says absent. What the detectors and the claims are worth is measured on pictures whose truth is known.
Detectors err together, which the sum does not know: it counts one mistake three times, and is too sure of itself. So
the claim's part and the detectors' part get a weight each, and there is an offset: a logistic regression of the truth
on both, fitted out of fold (Platt, "Probabilistic outputs for support vector machines", 1999, does so with one part).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ausynth import facs
from ausynth.durable import write_aside
from ausynth.errors import ConfigurationError
from ausynth.gates.detectors import Detector, look, votes_of
from ausynth.labels import Labels
from ausynth.samplers.convex import minimise

__all__ = ["Reliability", "calibration_error"]

Reals = NDArray[np.float64]

_AT_ONCE: Final = 64
_STEPS: Final = 200


@dataclass(frozen=True, eq=False)
class Reliability:
    """What K detectors and a generator's claims are worth for A action units.

    >>> detections = [[[1, 0]], [[1, 0]], [[0, 1]]]
    >>> known = Reliability((1, 12), ("a", "b", "c"), [[.8] * 2] * 3, [[.93] * 2] * 3, [.75] * 2, [.05] * 2, [.3] * 2)
    >>> known.probability(detections, [[1, 0]]).round(3).tolist()
    [[0.988, 0.027]]

    Attributes:
        aus: the A action units.
        detectors: K fingerprints.
        sensitivity: (K, A) P(says present | present).
        specificity: (K, A) P(says absent | absent).
        if_claimed: (A,) P(present | the generator says or was asked for present).
        if_not: (A,) P(present | it says or was asked for absent).
        rate: (A,) P(present), for where nothing was claimed.
        claim_weight, detector_weight, offset: calibrated logit = claim_weight * claim's part + detector_weight *
            detectors' part + offset; 1, 1, 0 is naive Bayes itself.
    """

    aus: tuple[int, ...]
    detectors: tuple[str, ...]
    sensitivity: Reals
    specificity: Reals
    if_claimed: Reals
    if_not: Reals
    rate: Reals
    claim_weight: float = 1.0
    detector_weight: float = 1.0
    offset: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "aus", facs.label_space(self.aus))
        object.__setattr__(self, "detectors", tuple(self.detectors))
        wide, flat = (len(self.detectors), len(self.aus)), (len(self.aus),)
        for name, shape in (
            ("sensitivity", wide),
            ("specificity", wide),
            ("if_claimed", flat),
            ("if_not", flat),
            ("rate", flat),
        ):
            values = np.asarray(getattr(self, name), np.float64)
            if values.shape != shape or not ((values > 0) & (values < 1)).all():
                raise ConfigurationError(
                    f"reliability.{name} of shape {values.shape}",
                    expected=f"{shape}, between 0 and 1, neither included",
                )
            object.__setattr__(self, name, values)

    @classmethod
    def measure(
        cls,
        aus: Sequence[int],
        detectors: Sequence[str],
        probabilities: ArrayLike,
        claimed: ArrayLike,
        truth: ArrayLike,
        *,
        smoothing: float = 1.0,
        calibrate: bool = True,
    ) -> Reliability:
        """Return what detectors and claims were worth on N pictures whose truth is known.

        Args:
            aus: the A action units.
            detectors: K fingerprints.
            probabilities: (K, N, A) in [0, 1], NaN where a detector cannot say.
            claimed: (N, A) occurrences that the generator says, or was asked for; NaN where there is none.
            truth: (N, A) occurrences, NaN where unknown.
            smoothing: is added to each count: a rate of 0 of 3 is no certainty.
            calibrate: whether the weights and the offset are fitted; that needs two pictures.

        Raises:
            ConfigurationError: shapes that do not fit.
        """
        votes_KNA = votes_of(probabilities)
        claimed_NA, truth_NA = np.asarray(claimed, np.float64), np.asarray(truth, np.float64)
        expected = (len(tuple(detectors)), *truth_NA.shape)
        if truth_NA.ndim != 2 or votes_KNA.shape != expected or claimed_NA.shape != truth_NA.shape:
            raise ConfigurationError(
                f"probabilities {votes_KNA.shape}, claims {claimed_NA.shape} and truth {truth_NA.shape}",
                expected="(K, N, A), (N, A) and (N, A)",
            )

        def rates(rows: slice | NDArray[np.bool_]) -> Reliability:
            votes, claims, true = votes_KNA[:, rows], claimed_NA[rows], truth_NA[rows]
            return cls(
                tuple(aus),
                tuple(detectors),
                _rate(votes == 1, (true == 1) & ~np.isnan(votes), smoothing),
                _rate(votes == 0, (true == 0) & ~np.isnan(votes), smoothing),
                _rate(true == 1, (claims == 1) & ~np.isnan(true), smoothing),
                _rate(true == 1, (claims == 0) & ~np.isnan(true), smoothing),
                _rate(true == 1, ~np.isnan(true), smoothing),
            )

        measured = rates(slice(None))
        if not calibrate or len(truth_NA) < 2:
            return measured
        # Rates look better on the pictures they were measured on: each half is judged by those of the other.
        even_N = np.arange(len(truth_NA)) % 2 == 0
        parts_2NA = np.empty((2, *truth_NA.shape))
        for half_N in (even_N, ~even_N):
            parts_2NA[:, half_N] = rates(~half_N).parts(votes_KNA[:, half_N], claimed_NA[half_N])
        known_NA = ~np.isnan(truth_NA)
        claim, said, offset = _platt(parts_2NA[:, known_NA], truth_NA[known_NA])
        return replace(measured, claim_weight=claim, detector_weight=said, offset=offset)

    @classmethod
    def of(
        cls, detectors: Sequence[Detector], images: NDArray[np.uint8], claimed: Labels, truth: Labels, **options: Any
    ) -> Reliability:
        """Return what detectors and claims are worth on (N, H, W, 3) pictures whose truth is known; see `measure`."""
        if claimed.aus != truth.aus or not len(images) == len(claimed) == len(truth):
            raise ConfigurationError(
                f"{len(images)} pictures, {len(claimed)} claims over {claimed.aus}, "
                f"{len(truth)} truths over {truth.aus}",
                expected="as many of each, over the same AUs",
            )
        said = [look(detectors, images[row : row + _AT_ONCE], truth.aus) for row in range(0, len(images), _AT_ONCE)]
        names = [detector.fingerprint for detector in detectors]
        return cls.measure(
            truth.aus, names, np.concatenate(said, axis=1), claimed.occurrence, truth.occurrence, **options
        )

    def parts(self, probabilities: ArrayLike, claimed: ArrayLike) -> tuple[Reals, Reals]:
        """Return (B, A) each: the claim's and the detectors' part of the logit, unweighted; what is NaN says nothing.

        Args:
            probabilities: (K, B, A) of the detectors, in their order; NaN where one cannot say.
            claimed: (B, A) occurrences; NaN where nothing was claimed.
        """
        votes_KBA, claimed_BA = votes_of(probabilities), np.asarray(claimed, np.float64)
        prior_BA = np.where(claimed_BA == 1, self.if_claimed, np.where(claimed_BA == 0, self.if_not, self.rate))
        sensitivity_KBA, specificity_KBA = self.sensitivity[:, None], self.specificity[:, None]
        if_present = np.log(sensitivity_KBA / (1 - specificity_KBA))
        if_absent = np.log((1 - sensitivity_KBA) / specificity_KBA)
        said_KBA = np.where(votes_KBA == 1, if_present, np.where(votes_KBA == 0, if_absent, 0.0))
        return np.log(prior_BA / (1 - prior_BA)), np.asarray(said_KBA.sum(axis=0), np.float64)

    def probability(self, probabilities: ArrayLike, claimed: ArrayLike) -> Reals:
        """Return (B, A) the calibrated probability that each AU is present; see `parts` for the arguments."""
        claim_BA, said_BA = self.parts(probabilities, claimed)
        return _sigmoid(self.claim_weight * claim_BA + self.detector_weight * said_BA + self.offset)

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        facts = {name: np.asarray(value).tolist() for name, value in asdict(self).items()}
        write_aside(Path(path), json.dumps(facts, indent=1).encode())

    @classmethod
    def load(cls, path: Path) -> Reliability:
        """Return what `save` wrote.

        Raises:
            ConfigurationError: no such file, or another content.
        """
        try:
            facts = json.loads(Path(path).read_text("utf-8"))
            return cls(**{**facts, "aus": tuple(facts["aus"])})
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise ConfigurationError(
                f"cannot read {path}: {error}", expected="a file that Reliability.save wrote"
            ) from error


def calibration_error(confidence: ArrayLike, correct: ArrayLike, bins: int = 15) -> float:
    """Return the expected calibration error: mean |confidence - share correct| over bins of equal width.

    Guo et al., "On calibration of modern neural networks" (ICML 2017).

    >>> calibration_error([0.9] * 10, [True] * 9 + [False])
    0.0
    """
    sure, right = np.ravel(np.asarray(confidence, np.float64)), np.ravel(np.asarray(correct, np.float64))
    place = np.minimum((sure * bins).astype(np.int64), bins - 1)
    gap = np.bincount(place, right, bins) - np.bincount(place, sure, bins)
    return round(float(np.abs(gap).sum()) / max(len(sure), 1), 12)


def _rate(hit: NDArray[np.bool_], among: NDArray[np.bool_], smoothing: float) -> Reals:
    """Return the share of hits over the pictures (second to last axis), smoothed."""
    rate: Reals = ((hit & among).sum(axis=-2) + smoothing) / (among.sum(axis=-2) + 2 * smoothing)
    return rate


def _platt(parts_2N: Reals, truth_N: Reals) -> tuple[float, float, float]:
    """Return weights and offset of the logistic regression of the truth on two parts, drawn a little to (1, 1, 0)."""
    design = np.stack([*parts_2N, np.ones_like(truth_N)], axis=1)
    start = np.array([1.0, 1.0, 0.0])

    def objective(at: Reals) -> tuple[float, Reals]:
        logit = design @ at
        value = np.logaddexp(0, logit).sum() - truth_N @ logit + 0.5 * ((at - start) ** 2).sum()
        gradient: Reals = design.T @ (_sigmoid(logit) - truth_N) + (at - start)
        return float(value), gradient

    (claim, said, offset), _, _ = minimise(objective, start, gradient=1e-4 * len(truth_N) ** 0.5, steps=_STEPS)
    return float(max(claim, 0)), float(max(said, 0)), float(offset)


def _sigmoid(x: Reals) -> Reals:
    return np.asarray(1 / (1 + np.exp(-np.clip(x, -500, 500))))
