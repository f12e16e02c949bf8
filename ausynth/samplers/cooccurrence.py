"""Calibration: weights of real frames and a synthetic label distribution whose mixture has the rates asked for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ausynth import facs
from ausynth.errors import ConfigurationError, require_whole
from ausynth.labels import Labels
from ausynth.samplers.balance import Balance
from ausynth.samplers.kept import kept
from ausynth.samplers.prior import MOST_ACTIVE, PROTOTYPE_SHARE, TEMPERATURE, Prior
from ausynth.samplers.problem import Problem
from ausynth.samplers.statistics import Doubles, LabelTable, first_level
from ausynth.samplers.targets import Target, resolve
from ausynth.schedule import as_share

__all__ = ["Real", "calibrate", "table_of"]

Real = Labels | tuple[Any, ArrayLike] | LabelTable | None


def calibrate(
    labels: Real,
    *,
    ratio: float,
    target: str | Target = "soft",
    alpha: float | None = None,
    aus: str | Iterable[int] | None = None,
    subjects: ArrayLike | None = None,
    subject_shares: ArrayLike | None = None,
    base: ArrayLike | None = None,
    pool: Labels | None = None,
    controls: Iterable[int] | None = None,
    levels: bool = True,
    threshold: float = 2.0,
    tau: float = 0.2,
    hi: float = 10.0,
    lo: float = 0.05,
    sigma2: float = 3e-4,
    temperature: float = TEMPERATURE,
    prototypes: float = PROTOTYPE_SHARE,
    most: int = MOST_ACTIVE,
    seed: int = 0,
    prior: Prior | None = None,
    cache: Path | Sequence[Path] | None = None,
) -> Balance:
    """Return how to weigh real frames and choose synthetic labels so that the mixture has the rates asked for.

    >>> balance = calibrate((["00", "10", "11"], [80, 15, 5]), aus=(12, 25), ratio=0.5, target="hard", alpha=0)
    >>> balance.reached_rates.round(2).tolist(), round(balance.max_abs_phi, 2)
    ([0.3, 0.3], 0.0)

    Maximum-entropy calibration: both sides move as little as possible; see `ausynth.samplers.dual`. What is asked of an
    AU holds among the samples in which it is known, which are those that a masked loss sees. What cannot be reached is
    reported, never an error.

    Args:
        labels: of the N real frames; or (patterns, counts), for which see `LabelTable.of_patterns`, with `aus`; or
            None at `ratio=1`, when the published rates of DISFA and BP4D are what is natural.
        ratio: the share of synthetic samples, 0 to 1.
        target: "soft", "hard", "natural", "uniform" (see `ausynth.samplers.targets.resolve`) or a `Target`.
        alpha: the share of the natural correlations to keep, 0 to 1, instead of the named target's own.
        aus: the label space; default that of the labels. Labels are projected to it.
        subjects: (N,) who is shown. Every subject is then asked to carry as much, 1/S of the real side, so that a few
            people do not carry a rare AU.
        subject_shares: (S,) what is asked of each instead, in any unit, in the order of `np.unique(subjects)`.
        base: (N,) how often each frame comes by itself, in any unit (sources of different weight); default alike.
        pool: the final labels of P generated pictures that serve as the synthetic side: they are weighed like real
            frames, within the same caps, and no label vector is asked for.
        controls: the AUs that the generator controls; default all. Labels of the others are unknown on its side.
        levels: calibrate the intensities too, where labels have them.
        threshold: the intensity from which an AU occurs.
        tau: the price of moving the synthetic side against that of moving the real one; small keeps real weights flat.
        hi, lo: the largest and least weight of a real frame (a picture of the pool), relative to its natural share.
        sigma2: slack: more gives up the hardest demands earlier.
        temperature, prototypes, most, seed: of the synthetic prior; see `fit_prior`.
        prior: a prior to use instead.
        cache: a folder of solutions by content, where the same question is not solved again; of several, all are looked
            into, and the last is written to.

    Raises:
        ConfigurationError: an argument that cannot be right, or labels that hold nothing.
    """
    share = as_share(ratio)
    _require_numbers(tau=tau, sigma2=sigma2, lo=lo)
    if not lo <= 1 <= hi:
        raise ConfigurationError(f"caps lo={lo!r}, hi={hi!r}", expected="lo up to 1, hi from 1: 1 is the natural share")
    if not 0 < threshold <= 5:
        raise ConfigurationError(f"threshold {threshold!r}", expected="an intensity above 0 and up to 5")
    require_whole("seed", seed, 0)
    table = table_of(labels, aus, subjects=subjects, base=base, levels=levels, threshold=threshold)
    if table is None and (share < 1 or aus is None):
        raise ConfigurationError(
            f"no real labels with ratio={ratio}, aus={aus!r}", expected="ratio=1 and a label space, or real labels"
        )
    space = table.aus if table is not None else facs.label_space(aus or ())
    pool_table = None
    if pool is not None:
        pool_table = LabelTable.of_labels(pool.project(space), levels=levels, threshold=threshold)
    asked = resolve(target, space, table, alpha=alpha, threshold=threshold)
    problem = Problem(
        aus=space,
        ratio=float(share),
        asked=asked,
        real=table,
        pool=pool_table if share > 0 else None,
        shown=_shown(space, controls) if share > 0 and pool_table is None else np.zeros(len(space), bool),
        prior=prior,
        settings={
            "first": first_level(threshold),
            "tau": float(tau),
            "hi": float(hi),
            "lo": float(lo),
            "sigma2": float(sigma2),
            "temperature": float(temperature),
            "prototypes": float(prototypes),
            "most": int(most),
            "seed": int(seed),
        },
        subject_shares=_subject_shares(table, subject_shares),
    )
    return kept(cache, problem.fingerprint, problem.solve)


def table_of(
    labels: Real,
    aus: str | Iterable[int] | None,
    *,
    subjects: ArrayLike | None = None,
    base: ArrayLike | None = None,
    levels: bool = True,
    threshold: float = 2.0,
) -> LabelTable | None:
    """Return the table of labels given in any of the ways that `calibrate` takes."""
    if labels is None or isinstance(labels, LabelTable):
        return labels
    if isinstance(labels, Labels):
        projected = labels if aus is None else labels.project(facs.label_space(aus))
        return LabelTable.of_labels(projected, subjects=subjects, base=base, levels=levels, threshold=threshold)
    if aus is None or subjects is not None or base is not None:
        raise ConfigurationError(
            "patterns and counts without aus=, or with subjects= or base=", expected="(patterns, counts) and aus="
        )
    patterns, counts = labels
    return LabelTable.of_patterns(facs.label_space(aus), patterns, counts)


def _subject_shares(table: LabelTable | None, shares: ArrayLike | None) -> Doubles:
    count = len(table.subjects) if table is not None else 0
    share_S = np.ones(count) if shares is None else np.asarray(shares, dtype=np.float64)
    if share_S.shape != (count,) or not (share_S >= 0).all() or (count and not 0 < share_S.sum() < np.inf):
        raise ConfigurationError(
            f"subject_shares of shape {share_S.shape}", expected=f"({count},) numbers from 0, one a subject, not all 0"
        )
    return share_S / share_S.sum() if count else share_S


def _shown(aus: tuple[int, ...], controls: Iterable[int] | None) -> NDArray[np.bool_]:
    if controls is None:
        return np.ones(len(aus), bool)
    controlled = set(controls)
    shown_A = np.array([au in controlled for au in aus])
    if not shown_A.any():
        raise ConfigurationError(
            f"the generator controls none of the AUs {aus}", expected=f"some of them among {sorted(controlled)}"
        )
    return shown_A


def _require_numbers(**values: float) -> None:
    for name, value in values.items():
        if not 0 < value < float("inf"):
            raise ConfigurationError(f"{name} {value!r}", expected="a number above 0")
