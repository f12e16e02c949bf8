"""What a calibration found: weights of the real frames, the synthetic label distribution, and how well it serves.

Legend: N real frames, P pictures of a pool, M patterns, A action units, L = 6 levels 0-5.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ausynth.errors import ConfigurationError
from ausynth.samplers.statistics import Doubles
from ausynth.schedule import Integers

__all__ = ["Balance"]

_FORMAT: Final = 1


@dataclass(frozen=True, eq=False)
class Balance:
    """How often each real frame comes, which label vectors are asked of the generator, and what that achieves.

    Rates are those among the samples in which the AU is known; NaN where it nowhere is.

    Attributes:
        aus: the A action units.
        ratio: the share of synthetic samples.
        target: what was asked, in a word.
        fingerprint: a hash of everything the solution depends on.
        real_weights: (N,) how often each frame comes, relative to its natural share (to one pattern's frame, where
            patterns and counts were given); of mean 1.
        real_groups: (N,) int, equal for frames of one occurrence pattern.
        patterns: (M, A) uint8, the occurrence patterns to ask for.
        probabilities: (M,).
        levels: (A, L), the levels to ask for: those of an absent AU (below `first_level`) and those of a present one
            (from it up) sum to 1 each.
        tracing: (A,) bool, which absent AUs may show a trace.
        shown: (A,) bool, the AUs whose labels the synthetic side has.
        first_level: the lowest level at which an AU occurs.
        pool_weights: (P,) how often each picture of the pool comes, of mean 1; none without a pool.
        pool_groups: (P,) int, equal for pictures of one occurrence pattern.
        natural_rates, asked_rates, reached_rates: (A,) of the real labels, of the target, of the mixture.
        real_rates, synthetic_rates: (A,) of the two sides of the mixture.
        natural_phi, asked_phi, reached_phi: (A, A) correlations; NaN on the diagonal and where there is none, or where
            FACS leaves nothing to ask.
        residual: (A, A) what is not reached: of the joint rates, on the diagonal of the rates, as shares of all
            samples. At the optimum it is -sigma2 theta.
        moments: (3, A, A) of the mixture, as shares of all samples: both occur, the first occurs and the second is
            known, both are known.
        natural_people, reached_people: (A,) by how many subjects each AU is carried on the real side, before and after;
            0 where subjects are not known.
        level_error: how far the levels that occur are from those asked for, at most, as a share of the AU's samples.
        effective_share: the effective share of the real frames, 1 / (N sum u^2); of the pool where there are none.
        largest_weight: of any real frame (picture of the pool).
        steps, gradient: how long the solution took, and the largest derivative of the dual that is left.
        notes: what a user should know, in sentences.
    """

    aus: tuple[int, ...]
    ratio: float
    target: str
    fingerprint: str
    real_weights: Doubles
    real_groups: Integers
    patterns: NDArray[np.uint8]
    probabilities: Doubles
    levels: Doubles
    tracing: NDArray[np.bool_]
    shown: NDArray[np.bool_]
    first_level: int
    pool_weights: Doubles
    pool_groups: Integers
    natural_rates: Doubles
    asked_rates: Doubles
    reached_rates: Doubles
    real_rates: Doubles
    synthetic_rates: Doubles
    natural_phi: Doubles
    asked_phi: Doubles
    reached_phi: Doubles
    residual: Doubles
    moments: Doubles
    natural_people: Doubles
    reached_people: Doubles
    level_error: float
    effective_share: float
    largest_weight: float
    steps: int
    gradient: float
    notes: tuple[str, ...] = field(default=())

    @property
    def marginal_error(self) -> float:
        """Return how far the rate of an AU is from the one asked for, at most."""
        return _largest(self.reached_rates - self.asked_rates)

    @property
    def max_abs_phi(self) -> float:
        """Return the largest correlation between two AUs in the mixture, of those that anything can be asked of."""
        return _largest(np.where(np.isnan(self.asked_phi), np.nan, self.reached_phi))

    @property
    def mean_abs_phi(self) -> float:
        """Return the mean size of these correlations."""
        sizes = np.abs(self.reached_phi[~np.isnan(self.asked_phi) & ~np.isnan(self.reached_phi)])
        return float(sizes.mean()) if sizes.size else 0.0

    @property
    def phi_error(self) -> float:
        """Return how far a correlation is from the one asked for, at most."""
        return _largest(self.reached_phi - self.asked_phi)

    def logit_offsets(self) -> Doubles:
        """Return (A,) what to add to the logits of a detector trained on the mixture, to have it expect natural rates.

        logit(natural rate) - logit(reached rate): training at other rates than those of the test moves a classifier's
        intercept by the difference of the log-odds (the prior correction of King and Zeng, "Logistic regression in rare
        events data", Political Analysis 2001; Saerens, Latinne and Decaestecker, Neural Computation 2002). 0 where a
        rate is not known, or is 0 or 1.

        Correct once: with `pos_weight` or `loss_weights` in the loss, or with thresholds tuned on natural data, these
        offsets would be a second correction. They correct rates alone, not correlations that a detector has learned.
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            offsets_A = _logit(self.natural_rates) - _logit(self.reached_rates)
        return np.where(np.isfinite(offsets_A), offsets_A, 0.0)

    def pos_weight(self) -> Doubles:
        """Return (A,) the weights of positives for `torch.nn.BCEWithLogitsLoss(pos_weight=)`: (1 - m) / m.

        With m the reached rate, as the documentation of that loss has it (negatives over positives), computed on what
        the stream emits: 1 where m is 1/2. 1 too where m is not known, or is 0.

        Correct once: the mixture is balanced already. Weights made from the *natural* rates would correct a second
        time, and `logit_offsets` does not know of weights in the loss.
        """
        rates_A = self.reached_rates
        return np.where(rates_A > 0, (1 - rates_A) / np.where(rates_A > 0, rates_A, 1), 1.0)

    def loss_weights(self) -> Doubles:
        """Return (A,) weights of the AUs in a loss: A (1/m_i) / sum_j (1/m_j), of mean 1.

        With m the reached rate: the weights of JAA-Net (Shao et al., ECCV 2018) and of ME-GraphAU (Luo et al., IJCAI
        2022), computed on what the stream emits. 0 where m is not known or is 0: nothing positive can be learned.

        Correct once: after balancing the rates are closer together, and so are these weights. Weights made from the
        *natural* rates would correct a second time.
        """
        inverse_A = np.where(self.reached_rates > 0, 1 / np.where(self.reached_rates > 0, self.reached_rates, 1), 0.0)
        total = inverse_A.sum()
        return inverse_A * (inverse_A > 0).sum() / total if total else inverse_A

    def report(self) -> Any:
        """Return what was asked, what was reached and what could not be, as a dict that prints as a table."""
        from ausynth.samplers.report import Report

        return Report.of(self)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as what JSON can hold, arrays as text, exactly."""
        return {"format": _FORMAT, **{name: _encode(getattr(self, name)) for name in _names()}}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Balance:
        """Return the balance of `to_dict`.

        Raises:
            ConfigurationError: it is none, or of another version.
        """
        if not isinstance(stored, Mapping) or stored.get("format") != _FORMAT or not set(_names()) <= stored.keys():
            raise ConfigurationError("a stored balance that is none, or of another version", do="calibrate again")
        values = {name: _decode(stored[name]) for name in _names()}
        return cls(**{**values, "aus": tuple(values["aus"]), "notes": tuple(values["notes"])})


def _names() -> list[str]:
    return [entry.name for entry in fields(Balance)]


def _largest(values: Doubles) -> float:
    known = np.abs(values[~np.isnan(values)])
    return float(known.max(initial=0))


def _logit(rates_A: Doubles) -> Doubles:
    logits_A: Doubles = np.log(rates_A) - np.log1p(-rates_A)
    return logits_A


def _encode(value: Any) -> Any:
    if not isinstance(value, np.ndarray):
        return value
    data = base64.b64encode(zlib.compress(np.ascontiguousarray(value).tobytes(), 6)).decode()
    return {"dtype": value.dtype.str, "shape": list(value.shape), "zlib": data}


def _decode(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    try:
        data = zlib.decompress(base64.b64decode(value["zlib"]))
        return np.frombuffer(data, dtype=np.dtype(value["dtype"])).reshape(value["shape"]).copy()
    except (ValueError, KeyError, TypeError, zlib.error) as error:
        raise ConfigurationError("a stored balance that is damaged", do="calibrate again") from error
