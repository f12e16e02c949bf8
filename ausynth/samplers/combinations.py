"""Label vectors for the synthetic side without statistics: every AU often, in combinations that a face can make."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ausynth import facs
from ausynth.errors import ConfigurationError
from ausynth.labels import Floats
from ausynth.schedule import Integers, uniform

__all__ = ["CombinationSampler"]

_NEUTRAL, _PROTOTYPE = 0.10, 0.25
"""Shares of neutral faces and of emotion prototypes; the rest are free combinations."""

_COUNTS = (0.30, 0.30, 0.22, 0.12, 0.06)
"""How many AUs a free combination starts from: 1, 2, ... (DISFA's active frames hold 1-3, BP4D's about 4)."""

_LEVELS = (0.10, 0.25, 0.30, 0.20, 0.15)
"""How often an active AU has intensity 1, 2, ... 5."""

_OTHERS = 0.05
"""How often an AU outside the focus joins in: a detector must not learn that the AUs it is not asked for are absent."""


class CombinationSampler:
    """Draws neutral faces, emotion prototypes and free combinations of AUs, and keeps FACS's rules.

    >>> sampler = CombinationSampler(facs.UNION_17, focus=facs.DISFA_8)
    >>> vectors = sampler.sample(np.arange(100), seed=0)
    >>> vectors.shape, bool(facs.is_possible(vectors, facs.UNION_17).all())
    ((100, 17), True)

    Of an antagonist pair (`facs.ANTAGONISTS`) with log-penalty p one AU is dropped with probability 1 - exp(-p).

    Args:
        aus: the AUs that the generator controls.
        focus: the AUs that are to be shown often; default all. Those the generator lacks are ignored.

    Raises:
        ConfigurationError: the generator controls none of `focus`.
    """

    def __init__(self, aus: Sequence[int], focus: Sequence[int] | None = None) -> None:
        self.aus = facs.label_space(aus)
        self.focus = tuple(au for au in self.aus if focus is None or au in focus)
        if not self.focus:
            raise ConfigurationError(
                f"the generator controls none of the AUs {tuple(focus or ())}", expected=f"some of {self.aus}"
            )
        self._place = {au: column for column, au in enumerate(self.aus)}
        self._prototypes = self._usable_prototypes()

    @property
    def fingerprint(self) -> str:
        """Return the sampler's parameters, hashed."""
        parameters = (1, self.aus, self.focus, _NEUTRAL, _PROTOTYPE, _COUNTS, _LEVELS, _OTHERS, self._prototypes)
        return f"combinations-{hashlib.sha256(repr(parameters).encode()).hexdigest()[:12]}"

    def sample(self, ordinals: Integers, seed: int) -> Floats:
        """Return (B, A) float32 intensities; see `LabelSampler.sample`."""
        j_B = np.asarray(ordinals, dtype=np.int64)
        kind_B = uniform(seed, "labels: kind", j_B)
        active_BA = self._free(j_B, seed)
        prototype_B = (kind_B >= _NEUTRAL) & (kind_B < _NEUTRAL + _PROTOTYPE) & bool(self._prototypes)
        active_BA[prototype_B] = self._prototype(j_B[prototype_B], seed)
        active_BA[kind_B < _NEUTRAL] = False
        rank_BA = uniform(seed, "labels: who gives way", j_B[:, None], np.array(self.aus))
        pairs = ((cause, effect) for cause, effects in facs.IMPLIED.items() for effect in effects)
        implied = [(self._place[a], self._place[b]) for a, b in pairs if {a, b} <= self._place.keys()]
        for cause, effect in implied:
            active_BA[:, effect] |= active_BA[:, cause]
        self._give_way(active_BA, rank_BA, j_B, seed)
        for cause, effect in implied:  # what lost an effect to an antagonist goes with it
            active_BA[:, cause] &= active_BA[:, effect]
        levels_BA = 1 + np.searchsorted(np.cumsum(_LEVELS)[:-1], uniform(seed, "labels: level", j_B[:, None], self.aus))
        intensity_BA = np.where(active_BA, levels_BA, 0).astype(np.float32)
        if {5, 7} <= self._place.keys():  # 7 at level E excludes 5
            lids_B, raised_B = intensity_BA[:, self._place[7]], intensity_BA[:, self._place[5]]
            lids_B[(lids_B >= 5) & (raised_B > 0)] = 4
        return facs.with_implied(intensity_BA, self.aus).astype(np.float32)

    def _free(self, j_B: Integers, seed: int) -> NDArray[np.bool_]:
        """Return (B, A) bool: a few AUs of the focus, and now and then another."""
        draw_BA = uniform(seed, "labels: free", j_B[:, None], np.array(self.aus))
        focus_A = np.isin(self.aus, self.focus)
        count_B = 1 + np.searchsorted(np.cumsum(_COUNTS)[:-1], uniform(seed, "labels: how many", j_B))
        order_BA = np.where(focus_A, draw_BA, 2).argsort(axis=1).argsort(axis=1)
        return np.where(focus_A, order_BA < count_B[:, None], draw_BA < _OTHERS)

    def _prototype(self, j_B: Integers, seed: int) -> NDArray[np.bool_]:
        """Return (B, A) bool: an emotion prototype, each optional AU with probability 1/2."""
        choice_B = (uniform(seed, "labels: which prototype", j_B) * len(self._prototypes)).astype(np.int64)
        coin_BA = uniform(seed, "labels: optional", j_B[:, None], np.array(self.aus)) < 0.5
        active_BA = np.zeros(coin_BA.shape, dtype=bool)
        for number, prototype in enumerate(self._prototypes):
            rows = choice_B == number
            required_A = np.isin(self.aus, prototype.required)
            optional_A = np.isin(self.aus, prototype.optional)
            active_BA[rows] = required_A | (optional_A & coin_BA[rows])
        return active_BA

    def _usable_prototypes(self) -> tuple[facs.Prototype, ...]:
        usable = []
        for prototype in (*facs.PROTOTYPES.values(), *facs.COMPOUND_PROTOTYPES.values()):
            required = set(prototype.required)
            if required <= set(self.aus) and required & set(self.focus):
                barred = {au for pair in facs.IMPOSSIBLE for au in pair if set(pair) - {au} <= required}
                optional = tuple(au for au in prototype.optional if au not in barred)
                usable.append(facs.Prototype(prototype.required, optional))
        return tuple(usable)

    def _give_way(
        self,
        active_BA: NDArray[np.bool_],
        rank_BA: NDArray[np.float64],
        j_B: Integers,
        seed: int,
    ) -> None:
        """Drop, in place, one AU of every impossible pair and of antagonist pairs as often as their penalty says."""
        rules = {**dict.fromkeys(facs.IMPOSSIBLE, math.inf), **facs.ANTAGONISTS}
        for (first, second), penalty in rules.items():
            if not {first, second} <= self._place.keys():
                continue
            a, b = self._place[first], self._place[second]
            strike_B = uniform(seed, f"labels: antagonists {first} {second}", j_B) < 1 - math.exp(-penalty)
            clash_B = active_BA[:, a] & active_BA[:, b] & strike_B
            first_goes_B = rank_BA[:, a] < rank_BA[:, b]
            active_BA[clash_B & first_goes_B, a] = False
            active_BA[clash_B & ~first_goes_B, b] = False
