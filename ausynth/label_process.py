"""Label sequences with the published statistics of a data set: rates, correlations, and how long labels stay constant.

A dichotomised Gaussian (Emrich and Piedmonte, "A method for generating high-dimensional multivariate binary variates",
The American Statistician 1991): a normal vector with tetrachoric correlations, cut at the quantiles of the rates, has
exactly the wanted rates and the wanted phi coefficients. Pairs whose phi was not published are conditionally
independent given the others (Dempster, "Covariance selection", Biometrics 1972): of all matrices with the published
entries the one of largest entropy, and positive definite, so nothing published has to be bent to make it so. For BP4D
that gives, for example, 7-12 a phi of .39 by way of AU6, where independence would contradict 6-7 and 6-12.

Legend of the shapes: S sequences, T frames of each, R runs, A action units.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ausynth import facs
from ausynth.errors import ConfigurationError
from ausynth.labels import Floats

__all__ = ["PUBLISHED", "LabelProcess", "complete_correlation", "tetrachoric"]

Matrix = NDArray[np.float64]

_POSITIVE: Final = 2
_PILOT_DRAWS: Final = 1 << 15
_PILOT_SEQUENCES: Final = 64


@dataclass(frozen=True)
class LabelProcess:
    """Draws sequences of label vectors: constant for a while, then drawn anew.

    >>> process = LabelProcess(aus=(6, 12), rates=(0.08, 0.13), phi={(6, 12): 0.5})
    >>> process.draw(3, 200, seed=0).shape
    (3, 200, 2)

    A frame's occurrence vector is one draw of a dichotomised Gaussian, held for a geometric number of frames. The
    intensities of what occurs and of what does not are drawn once a run, each AU by itself. Label vectors that no face
    can make (`facs.is_possible`) are drawn again, which costs their AUs a little of their rate; no published space
    holds such a pair.

    Attributes:
        aus: A action units.
        rates: (A,) share of frames in which each occurs (intensity >= 2), between 0 and 1.
        phi: the correlation coefficient of the occurrences of a pair of AUs; pairs that are not listed are
            conditionally independent given the others.
        run_length: mean number of frames over which the occurrence vector stays the same, 1 or more. Below
            what chance gives when every frame is drawn anew (DISFA: 1.3 frames) it has no effect.
        strengths: probabilities of the intensities 2, 3, 4, 5 of an AU that occurs. The default is a choice: most
            expressions are slight or marked.
        trace: probability of intensity 1 for an AU that does not occur; a choice too.
        ceilings: the highest intensity that an AU reaches; what would lie above becomes the ceiling.
        style: how much sequences differ in which AUs occur in them, 0-1: the share of the normal vector's variance that
            one sequence has throughout. Over many sequences rates and phi are the same whatever it is.

    Raises:
        ConfigurationError: a rate, phi, probability or run length that cannot be, alone or together.
    """

    aus: tuple[int, ...]
    rates: tuple[float, ...]
    phi: Mapping[tuple[int, int], float] = field(default_factory=dict)
    run_length: float = 53.0
    strengths: tuple[float, float, float, float] = (0.44, 0.40, 0.13, 0.03)
    trace: float = 0.05
    ceilings: Mapping[int, int] = field(default_factory=lambda: {15: 4, 20: 4})
    style: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "aus", facs.label_space(self.aus))
        if len(self.rates) != len(self.aus) or not all(0 < rate < 1 for rate in self.rates):
            raise ConfigurationError(
                f"rates {self.rates}", expected=f"one for each AU of {self.aus}, between 0 and 1, neither included"
            )
        if not (math.isfinite(self.run_length) and self.run_length >= 1):
            raise ConfigurationError(f"run length {self.run_length!r}", expected="1 frame or more")
        if len(self.strengths) != 4 or min(self.strengths) < 0 or not math.isclose(sum(self.strengths), 1):
            raise ConfigurationError(f"strengths {self.strengths}", expected="4 probabilities of intensity 2-5, sum 1")
        if not 0 <= self.trace <= 1:
            raise ConfigurationError(f"trace {self.trace!r}", expected="a probability")
        if not 0 <= self.style < 1:
            raise ConfigurationError(f"style {self.style!r}", expected="0 or more, and below 1")
        _ = self.correlation

    @classmethod
    def published(cls, name: str, *, run_length: float = 53.0, style: float = 0.0) -> LabelProcess:
        """Return the process with the published rates and correlations of "disfa" (12 AUs) or "bp4d" (12 AUs).

        Raises:
            ConfigurationError: another name.
        """
        if name not in PUBLISHED:
            raise ConfigurationError(f"no published statistics of {name!r}", expected=f"one of {sorted(PUBLISHED)}")
        aus, rates, phi = PUBLISHED[name]
        # BP4D codes presence, whatever the strength: a trace of an absent AU would contradict its own coding.
        return cls(aus, rates, phi, run_length=run_length, trace=0.0 if name == "bp4d" else 0.05, style=style)

    @cached_property
    def correlation(self) -> Matrix:
        """(A, A): the normal vector's correlation matrix."""
        place = {au: i for i, au in enumerate(self.aus)}
        listed: dict[tuple[int, int], float] = {}
        for (first, second), value in self.phi.items():
            if first not in place or second not in place or first == second:
                raise ConfigurationError(f"phi of AUs {first} and {second}", expected=f"two AUs of {self.aus}")
            pair = (place[first], place[second])
            listed[pair] = tetrachoric(self.rates[pair[0]], self.rates[pair[1]], value)
        return complete_correlation(len(self.aus), listed)

    @cached_property
    def _hold(self) -> float:
        """Mean frames between draws. Equal draws in a row make one run, so it is shorter than `run_length`."""
        many = 1 if self.style == 0 else _PILOT_SEQUENCES
        each = _PILOT_DRAWS // many
        of_run_R = np.repeat(np.arange(many), each)
        occurs_RA = self._occurrence(of_run_R, np.random.default_rng(0))
        equal = 0.0
        for start in range(0, _PILOT_DRAWS, each):
            _, counts = np.unique(occurs_RA[start : start + each], axis=0, return_counts=True)
            equal += float((counts * (counts - 1.0)).sum() / (each * (each - 1.0))) / many
        return max(1.0, self.run_length * (1 - equal))

    def draw(self, sequences: int, frames: int, *, seed: int = 0) -> Floats:
        """Return (S, T, A) float32 intensities 0-5, whole numbers: the same for the same arguments.

        All sequences are drawn together from one low-discrepancy set, so that a small tree, too, has rates close to
        the published ones; two sequences of one call are exchangeable, not independent.
        """
        if sequences < 1 or frames < 1:
            raise ConfigurationError(f"{sequences} sequences of {frames} frames", expected="at least 1 of 1")
        rng = np.random.default_rng([seed, sequences, frames])
        # A sequence starts in the middle of a run, and the geometric distribution has no memory: nothing to correct.
        changes_ST = rng.random((sequences, frames)) < 1 / self._hold
        changes_ST[:, 0] = True
        draw_ST = np.cumsum(changes_ST.ravel()).reshape(sequences, frames) - 1
        of_run_R = np.zeros(int(draw_ST.max()) + 1, np.int64)
        of_run_R[draw_ST] = np.arange(sequences)[:, None]
        occurs_RA = self._occurrence(of_run_R, rng)
        intensity_RA = self._intensity(occurs_RA, rng)
        first_of_sequence = set(draw_ST[:, 0].tolist())
        for run in range(1, len(occurs_RA)):
            if (occurs_RA[run] == occurs_RA[run - 1]).all() and run not in first_of_sequence:
                intensity_RA[run] = intensity_RA[run - 1]
        drawn_STA: Floats = intensity_RA[draw_ST]
        return drawn_STA

    def _occurrence(self, of_run_R: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.bool_]:
        """Return (R, A): which AUs occur in each run, given the number of the sequence each belongs to."""
        from scipy.stats import norm

        cut_A = norm.ppf(np.array(self.rates))
        root_AA: Matrix = np.linalg.cholesky(self.correlation).astype(np.float64)
        normal_RA = _balanced_normal(len(of_run_R), root_AA, rng)
        own_RA = np.zeros_like(normal_RA)
        if self.style > 0:
            # Both parts have the same correlations, so their sum has them too, and every margin stays as it was.
            own_RA = math.sqrt(self.style) * _balanced_normal(int(of_run_R.max()) + 1, root_AA, rng)[of_run_R]
            normal_RA = math.sqrt(1 - self.style) * normal_RA + own_RA
        occurs_RA: NDArray[np.bool_] = normal_RA < cut_A
        for _ in range(1000):
            impossible_R = ~facs.is_possible(np.where(occurs_RA, 5.0, 0.0), self.aus)
            if not impossible_R.any():
                return occurs_RA
            fresh_RA = rng.standard_normal((int(impossible_R.sum()), len(self.aus))) @ root_AA.T
            fresh_RA = math.sqrt(1 - self.style) * fresh_RA + own_RA[impossible_R]
            occurs_RA[impossible_R] = fresh_RA < cut_A
        raise ConfigurationError(
            f"AUs {self.aus} at the rates {self.rates} hardly ever make a possible face",
            expected="rates of AUs that exclude one another to leave room for both",
        )

    def _intensity(self, occurs_RA: NDArray[np.bool_], rng: np.random.Generator) -> Floats:
        ceiling_A = np.array([self.ceilings.get(au, 5) for au in self.aus], np.float32)
        strong_RA = rng.choice(np.arange(2, 6), size=occurs_RA.shape, p=self.strengths).astype(np.float32)
        weak_RA = (rng.random(occurs_RA.shape) < self.trace).astype(np.float32)
        # A trace of an AU that excludes one of those that occur would make the vector impossible: take it away.
        intensity_RA = np.where(occurs_RA, np.minimum(strong_RA, ceiling_A), weak_RA)
        without_RA = np.where(occurs_RA, intensity_RA, 0)
        return np.where(facs.is_possible(intensity_RA, self.aus)[:, None], intensity_RA, without_RA).astype(np.float32)


def tetrachoric(first_rate: float, second_rate: float, phi: float) -> float:
    """Return the correlation of two standard normals that, cut at the rates' quantiles, give the coefficient `phi`.

    Raises:
        ConfigurationError: no pair of events with these rates has that phi.
    """
    from scipy.optimize import brentq
    from scipy.stats import multivariate_normal, norm

    spread = math.sqrt(first_rate * (1 - first_rate) * second_rate * (1 - second_rate))
    both = first_rate * second_rate + phi * spread
    lowest, highest = max(0.0, first_rate + second_rate - 1), min(first_rate, second_rate)
    if not lowest < both < highest:
        raise ConfigurationError(
            f"phi {phi:g} of AUs with the rates {first_rate:g} and {second_rate:g}",
            expected=f"between {(lowest - first_rate * second_rate) / spread:.3f} and "
            f"{(highest - first_rate * second_rate) / spread:.3f}, neither included",
        )
    cut = norm.ppf([first_rate, second_rate])

    def excess(correlation: float) -> float:
        covariance = [[1, correlation], [correlation, 1]]
        return float(multivariate_normal.cdf(cut, mean=[0, 0], cov=covariance) - both)

    return float(brentq(excess, -0.9999, 0.9999, xtol=1e-6))


def complete_correlation(size: int, listed: Mapping[tuple[int, int], float]) -> Matrix:
    """Return the (size, size) correlation matrix of largest determinant that has the `listed` entries.

    Its inverse is 0 at every pair that is not listed (Dempster 1972), which is what the iteration below does: each
    listed 2 x 2 block in turn is given its right marginal (iterative proportional fitting).

    Raises:
        ConfigurationError: no positive definite matrix has these entries.
    """
    precision = np.eye(size)
    for _ in range(2000):
        worst = 0.0
        for (first, second), value in listed.items():
            block = [first, second]
            here = np.linalg.inv(precision)[np.ix_(block, block)]
            wanted = np.array([[1, value], [value, 1]])
            worst = max(worst, float(np.abs(here - wanted).max()))
            precision[np.ix_(block, block)] += np.linalg.inv(wanted) - np.linalg.inv(here)
        if worst < 1e-9:
            correlation = np.linalg.inv(precision)
            np.fill_diagonal(correlation, 1)
            return (correlation + correlation.T) / 2
    raise ConfigurationError(
        "correlations that cannot hold together", expected="a positive definite matrix", do="give fewer or milder phi"
    )


def _balanced_normal(count: int, root_AA: Matrix, rng: np.random.Generator) -> Matrix:
    """Return (count, A) normal vectors from a scrambled Sobol set, in random order."""
    from scipy.stats import norm, qmc

    engine = qmc.Sobol(len(root_AA), scramble=True, rng=rng)
    uniform_RA = engine.random_base2(max(1, math.ceil(math.log2(count))))[:count]
    # A scrambled point may be 0 exactly, whose quantile is minus infinity.
    normal_RA = norm.ppf(np.clip(uniform_RA, 1e-12, 1 - 1e-12)) @ root_AA.T
    return np.asarray(rng.permutation(normal_RA), dtype=np.float64)


_Statistics = tuple[tuple[int, ...], tuple[float, ...], Mapping[tuple[int, int], float]]


def _statistics(aus: Sequence[int], rates: Sequence[float], phi: Mapping[tuple[int, int], float]) -> _Statistics:
    return tuple(aus), tuple(rates), MappingProxyType(dict(phi))


PUBLISHED: Final[Mapping[str, _Statistics]] = MappingProxyType(
    {
        "disfa": _statistics(
            facs.DISFA_12,
            (0.050, 0.040, 0.150, 0.009, 0.079, 0.042, 0.129, 0.021, 0.051, 0.023, 0.278, 0.088),
            {(1, 2): 0.63, (6, 12): 0.50, (12, 25): 0.46, (6, 25): 0.36, (4, 9): 0.34, (25, 26): 0.31, (4, 12): -0.13},
        ),
        "bp4d": _statistics(
            facs.BP4D_12,
            (0.211, 0.171, 0.203, 0.461, 0.549, 0.594, 0.562, 0.466, 0.169, 0.343, 0.165, 0.151),
            {
                (6, 12): 0.54,
                (6, 7): 0.54,
                (10, 12): 0.53,
                (6, 10): 0.50,
                (1, 2): 0.46,
                (17, 24): 0.42,
                (4, 12): -0.27,
            },
        ),
    }
)
"""Label space, share of frames at intensity >= 2 (BP4D: coded present) of each AU, and the phi that stand out."""
