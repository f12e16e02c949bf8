"""What is commonly done about rare AUs, behind the same interface, to compare with."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from types import MappingProxyType
from typing import Final

import numpy as np

from ausynth.errors import ConfigurationError
from ausynth.samplers.balance import Balance
from ausynth.samplers.cooccurrence import Real, table_of
from ausynth.samplers.outcome import Found, describe
from ausynth.samplers.prior import fit_prior
from ausynth.samplers.problem import synthetic_side
from ausynth.samplers.statistics import Doubles, LabelTable, first_level
from ausynth.samplers.targets import Target, resolve
from ausynth.schedule import as_share

__all__ = ["BASELINES", "baseline", "class_aware", "inverse_frequency", "natural", "repeat_factor"]

_SYNTHETIC_RATE = 0.4
"""How often each AU is asked of a generator that balances nothing: each by itself."""


def natural(table: LabelTable) -> Doubles:
    """Return (R,) weights of 1: every frame as often as it is there."""
    return np.ones(len(table.mass))


def inverse_frequency(table: LabelTable) -> Doubles:
    """Return (R,) weights for `torch.utils.data.WeightedRandomSampler`: 1 over the rate of a frame's rarest AU.

    The habit of multi-label training scripts; a frame without an AU weighs 1.
    """
    weight_R: Doubles = np.maximum((table.present * _inverse_rates(table)).max(axis=1), 1)
    return weight_R


def repeat_factor(table: LabelTable, threshold: float = 0.3) -> Doubles:
    """Return (R,) repeat factors: the largest max(1, sqrt(threshold / rate)) of a frame's AUs.

    Gupta, Dollar and Girshick, "LVIS: a dataset for large vocabulary instance segmentation" (CVPR 2019), section 5;
    their threshold of 0.001 fits a thousand classes, 0.3 fits AUs.
    """
    weight_R: Doubles = np.maximum((table.present * np.sqrt(threshold * _inverse_rates(table))).max(axis=1), 1)
    return weight_R


def class_aware(table: LabelTable) -> Doubles:
    """Return (R,) weights of drawing an AU first, each as often, and then a frame that shows it.

    Shen, Lin and Huang, "Relay backpropagation for effective learning of deep convolutional neural networks" (ECCV
    2016), section 3; frames without an AU are a class of their own.
    """
    neutral_R = ~table.present.any(axis=1)
    weight_R = table.present @ _inverse_rates(table)
    if neutral_R.any():
        weight_R = weight_R + neutral_R / table.mass[neutral_R].sum()
    return weight_R


BASELINES: Final = MappingProxyType(
    {
        "natural": natural,
        "inverse frequency": inverse_frequency,
        "repeat factor": repeat_factor,
        "class-aware": class_aware,
    }
)
"""The baselines by name: table -> weights (R,) in any unit."""


def baseline(
    labels: Real,
    method: str | Callable[[LabelTable], Doubles],
    *,
    ratio: float = 0.0,
    aus: str | Iterable[int] | None = None,
    target: str | Target = "hard",
    alpha: float | None = None,
    threshold: float = 2.0,
) -> Balance:
    """Return a common way of weighing real frames as a balance, for comparison and for use.

    >>> weighed = baseline((["00", "10", "11"], [80, 15, 5]), "repeat factor", aus=(12, 25))
    >>> weighed.real_weights.round(2).tolist()
    [0.9, 1.11, 2.21]

    Args:
        labels, aus, threshold: as for `calibrate`.
        method: "natural", "inverse frequency", "repeat factor" or "class-aware", or a function of a `LabelTable`.
        ratio: the share of synthetic samples; each AU is asked of the generator by itself, at a rate of 0.4, in
            patterns that a face can show.
        target, alpha: what the figures of the balance are compared with.

    Raises:
        ConfigurationError: an unknown method, no real labels, or weights that are none.
    """
    if isinstance(method, str) and method not in BASELINES:
        raise ConfigurationError(f"baseline {method!r}", expected=f"one of {', '.join(BASELINES)}, or a function")
    weigh = BASELINES[method] if isinstance(method, str) else method
    table = table_of(labels, aus, threshold=threshold)
    if table is None:
        raise ConfigurationError("a baseline without real labels", expected="labels to weigh")
    share = float(as_share(ratio))
    asked = resolve(target, table.aus, table, alpha=alpha, threshold=threshold)
    weight_R = np.asarray(weigh(table), dtype=np.float64)
    mean = float(table.mass @ weight_R)
    if not (weight_R >= 0).all() or not 0 < mean < float("inf"):
        raise ConfigurationError("a baseline's weights that choose nothing", expected="numbers from 0, not all 0")
    weight_R = weight_R / mean
    chosen, probability_M = None, np.zeros(0)
    first = first_level(threshold)
    if share > 0:
        many = len(table.aus)
        rates_A, phi_AA = np.full(many, _SYNTHETIC_RATE), np.zeros((many, many))
        prior = fit_prior(table.aus, rates_A, phi_AA, temperature=1, penalties={}, prototypes=0, most=many)
        shown_A = np.ones(many, bool)
        chosen = synthetic_side(prior, table.aus, asked, shown_A, ratio=share, tau=1, first=first)
        probability_M = np.exp(prior.log_probability)
    digest = hashlib.sha256(repr((table.aus, share, threshold)).encode())
    digest.update(weight_R.tobytes() + table.mass.tobytes() + table.row_of.tobytes() + probability_M.tobytes())
    found = Found(table, weight_R, None, np.zeros(0), chosen, probability_M, asked.levels)
    return describe(
        found, asked, table.aus, ratio=share, first=first, fingerprint=f"baseline-{digest.hexdigest()[:16]}"
    )


def _inverse_rates(table: LabelTable) -> Doubles:
    """Return (A,) 1 / natural rate; 0 for an AU that no label has."""
    rates_A = np.nan_to_num(table.rates)
    return np.divide(1, rates_A, out=np.zeros_like(rates_A), where=rates_A > 0)
