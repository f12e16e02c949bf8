"""From which cosine two pictures show one person: measured on pictures of people who are known to be different.

Thresholds belong to an encoder and to a kind of picture, so none is written down here. A picture of somebody who is not
in a gallery of G people is compared with all G: for it to be rejected at most at a rate alpha, one comparison may err
at alpha / G. With few people that quantile lies beyond all pairs that there are; the tail above the 95 % quantile is
then taken for a generalised Pareto distribution (Pickands 1975), fitted by probability-weighted moments (Hosking and
Wallis, "Parameter and quantile estimation for the generalized Pareto distribution", 1987). Pairs share people and
pictures, so the interval comes from drawing *people* anew, with replacement.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ausynth.errors import ConfigurationError

__all__ = ["Calibration", "calibrate_threshold", "person_scores"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_TAIL: Final = 0.05
_LEAST_PEOPLE, _LEAST_TAIL = 8, 12
_STEPS: Final = 10_000
_DRAWS, _INTERVAL = 300, (0.05, 0.95)
_GENUINE: Final = 0.01
"""Share of pictures of a gallery's own people that may lie below the threshold, where the pictures allow it."""


@dataclass(frozen=True)
class Calibration:
    """A threshold, and what it promises.

    Attributes:
        threshold: cosine from which a picture counts as showing a person of the gallery, to four places.
        interval: in which the impostors' quantile lies, with 90 % confidence.
        alpha: share of pictures of other people that are rejected all the same, as asked for.
        rejected: what that share is at the threshold, by the fit; above alpha where the threshold was lowered.
        rejected_interval: in which it lies, with 90 % confidence.
        genuine: cosine that 99 % of the gallery's own pictures reach with others of the same person; NaN where nobody
            has two pictures.
        lowered: whether the threshold is `genuine`, since the quantile would let the gallery's own people in.
        gallery: G.
        people: who were compared with one another.
        scores: comparisons of a picture with another person.
        extrapolated: whether the quantile lies beyond what was measured.
    """

    threshold: float
    interval: tuple[float, float]
    alpha: float
    rejected: float
    rejected_interval: tuple[float, float]
    genuine: float
    lowered: bool
    gallery: int
    people: int
    scores: int
    extrapolated: bool

    def report(self) -> str:
        """Return it in a few lines of words."""
        low, high = self.interval
        least, most = self.rejected_interval
        lines = [
            f"threshold {self.threshold:.4f}, for a gallery of {self.gallery} people and alpha {self.alpha:g}",
            f"impostors: {self.scores:,} comparisons among {self.people} people; the quantile lies in {low:.4f} to "
            f"{high:.4f} (90 %)"
            + (", beyond what was measured: the tail is extrapolated" if self.extrapolated else ""),
            f"other people's pictures rejected: {self.rejected:.2%} ({least:.2%} to {most:.2%})",
        ]
        if not np.isnan(self.genuine):
            lines.append(f"99 % of the gallery's own pictures reach {self.genuine:.4f} with others of the same person")
        if self.lowered:
            lines.append("lowered to that, since the impostors' quantile would let some of them in")
        return "\n".join(lines)


def person_scores(embeddings: NDArray[np.float32], people: Integers) -> Floats:
    """Return (N, P): the highest cosine of each of N pictures with those of each of P people, itself left out.

    Args:
        embeddings: (N, D) unit vectors.
        people: (N,) who each shows, 0 to P - 1, each at least once.

    NaN where nothing is left to compare with.
    """
    count = int(people.max()) + 1
    order = np.argsort(people, kind="stable")
    starts = np.searchsorted(people[order], np.arange(count))
    scores = np.empty((len(embeddings), count))
    for first in range(0, len(embeddings), 1024):
        rows = np.arange(first, min(first + 1024, len(embeddings)))
        cosines = np.einsum("nd,md->nm", embeddings[rows], embeddings[order]).astype(np.float64)
        cosines[np.arange(len(rows)), np.argsort(order)[rows]] = -np.inf
        scores[rows] = np.maximum.reduceat(cosines, starts, axis=1)
    return np.where(np.isinf(scores), np.nan, scores)


def calibrate_threshold(
    embeddings: NDArray[np.float32], people: Integers, gallery: Integers, *, alpha: float = 0.01, seed: int = 0
) -> Calibration:
    """Return the threshold for a gallery, from pictures of its people and of others.

    Args:
        embeddings: (N, D) unit vectors.
        people: (N,) who each shows, 0 to P - 1, all of them known to be different people.
        gallery: which of the people are in the gallery.
        alpha: share of pictures of other people that may be rejected, 0 to 1, both left out.
        seed: of the interval.

    Raises:
        ConfigurationError: too few people, or nobody in the gallery.
    """
    if not 0 < alpha < 1:
        raise ConfigurationError(f"alpha={alpha}", expected="a share above 0 and below 1")
    count, size = len(np.unique(people)), len(np.unique(gallery))
    if not size:
        raise ConfigurationError("an empty gallery", expected="at least one person of whom there is a picture")
    scores = person_scores(embeddings, people)
    other = people[:, None] != np.arange(scores.shape[1])
    total = int(other.sum())
    if count < _LEAST_PEOPLE or total * _TAIL < _LEAST_TAIL:
        raise ConfigurationError(
            f"{count} people with {total} comparisons to find a threshold from",
            expected=f"{_LEAST_PEOPLE} people or more, and {int(_LEAST_TAIL / _TAIL)} comparisons",
            do="give threshold= (a cosine that separates people for this encoder), or more people to calibrate on",
        )
    wanted = alpha / size
    of_row, of_column = np.nonzero(other)
    values, who, whom = scores[of_row, of_column], people[of_row], of_column
    order = np.argsort(values)[-int(np.ceil(4 * _TAIL * total)) :]  # a draw's tail lies in here, or nearly so
    values, who, whom = values[order], who[order], whom[order]

    fit = _fit(values, np.ones(len(values)), total)
    threshold = fit.quantile(wanted)
    draws = np.random.default_rng(seed)
    thresholds, fits = [], []
    per_person = np.bincount(people, minlength=scores.shape[1])
    for _ in range(_DRAWS):
        times = np.bincount(draws.integers(count, size=count), minlength=scores.shape[1])
        drawn = float((per_person * times).sum() * times.sum() - (per_person * times * times).sum())
        redrawn = _fit(values, (times[who] * times[whom]).astype(float), drawn)
        thresholds.append(redrawn.quantile(wanted))
        fits.append(redrawn)
    own = scores[np.arange(len(people)), people][np.isin(people, gallery)]
    own = own[~np.isnan(own)]
    genuine = float(np.quantile(own, _GENUINE, method="lower")) if own.size else float("nan")
    lowered = bool(genuine < threshold)
    final = min(genuine, threshold) if own.size else threshold
    # Coarser than rounding: the threshold is part of plans, which other machines are to share.
    final = float(np.floor(final * _STEPS) / _STEPS)
    rates = [min(1.0, size * each.above(final)) for each in fits]
    low, high = (float(value) for value in np.quantile(thresholds, _INTERVAL))
    least, most = (float(value) for value in np.quantile(rates, _INTERVAL))
    return Calibration(
        threshold=final,
        interval=(low, high),
        alpha=alpha,
        rejected=min(1.0, size * fit.above(final)),
        rejected_interval=(least, most),
        genuine=genuine,
        lowered=lowered,
        gallery=size,
        people=count,
        scores=total,
        extrapolated=wanted * total < 1,
    )


@dataclass(frozen=True)
class _Tail:
    """Values above `start`, which the share `share` of all are: generalised Pareto of this scale and shape."""

    start: float
    share: float
    scale: float
    shape: float
    values: Floats
    weights: Floats
    total: float

    def quantile(self, above: float) -> float:
        """Return the value that the share `above` of all exceeds; 1 at most, as cosines are."""
        if above >= self.share:  # it was measured
            index = np.searchsorted(np.cumsum(self.weights[::-1]), above * self.total)
            return float(self.values[::-1][min(int(index), len(self.values) - 1)])
        ratio = self.share / above
        grown = np.log(ratio) if abs(self.shape) < 1e-9 else (ratio**self.shape - 1) / self.shape
        return float(min(1.0, self.start + self.scale * grown))

    def above(self, value: float) -> float:
        """Return the share of all that exceeds the value."""
        if value <= self.start:
            return float(self.weights[self.values >= value].sum() / self.total)
        if self.scale <= 0:
            return 0.0
        z = (value - self.start) / self.scale
        if abs(self.shape) < 1e-9:
            return float(self.share * np.exp(-z))
        return float(self.share * max(0.0, 1 + self.shape * z) ** (-1 / self.shape))


def _fit(values: Floats, weights: Floats, total: float) -> _Tail:
    """Fit the upper tail of `total` values, of which the highest, ascending, are given, each with a weight."""
    drawn = weights > 0
    values, weights = values[drawn], weights[drawn]
    from_top = np.cumsum(weights[::-1])[::-1]
    tail = from_top <= _TAIL * total
    if tail.all() or not tail.any():
        tail = np.arange(len(values)) > 0
    start = float(values[~tail][-1])
    beyond, weight = values[tail] - start, weights[tail]
    mass = weight.sum()
    mean = float((weight * beyond).sum() / mass)
    # The share of the exceedances that lie above each, and half of those that are equal to it.
    survive = (from_top[tail] - (weight + 1) / 2) / max(mass - 1, 1)
    weighted = float((weight * np.clip(survive, 0, 1) * beyond).sum() / mass)
    spread = mean - 2 * weighted
    if spread <= 0 or mean <= 0:  # nothing spreads: all exceedances are as one
        return _Tail(start, float(mass / total), max(mean, 1e-12), 0.0, values, weights, total)
    shape = 2 - mean / spread
    scale = 2 * mean * weighted / spread
    # A shape of 1/2 or more has no variance, which cosines have; -1 and less ends in a cliff, which few values feign.
    shape = float(np.clip(shape, -0.9, 0.5))
    return _Tail(start, float(mass / total), max(scale, 1e-12), shape, values, weights, total)
