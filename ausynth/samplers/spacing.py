"""Weighted frames in an endless order without chance: every pattern evenly spaced, its copies spread over its frames.

Legend: N frames, n draws of an epoch.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from ausynth.errors import ConfigurationError
from ausynth.samplers.statistics import Doubles
from ausynth.schedule import Integers, uniform

__all__ = ["SpacedFrames"]

_GOLDEN = (math.sqrt(5) - 1) / 2


class SpacedFrames:
    """Frames in epochs of n draws, in which one of weight w comes floor(w n / N) or ceil(w n / N) times.

    Each group (frames of one occurrence pattern) is spaced evenly over the epoch, so that any stretch has the groups'
    rates; within a group the frames take turns. Which frames are rounded up goes round from epoch to epoch. Frame
    `at(j)` is a pure function of weights, groups, seed and j; the orders of the last two epochs are kept.

    >>> order = SpacedFrames([1.0, 0.5, 1.5, 1.0], groups=[0, 0, 1, 1], seed=0)
    >>> np.bincount(order.at(np.arange(400)), minlength=4).tolist()
    [100, 50, 150, 100]

    Args:
        weights: (N,) from 0, in any unit.
        groups: (N,) whole numbers, equal for frames that may stand in for one another; default all different.
        seed: any whole number; what it is for enters through `purpose`.
        length: n, default N.
        purpose: keeps the orders of one seed apart.
    """

    def __init__(
        self,
        weights: ArrayLike,
        groups: ArrayLike | None = None,
        *,
        seed: int,
        length: int | None = None,
        purpose: str = "",
    ) -> None:
        weight_N = np.asarray(weights, dtype=np.float64)
        if weight_N.ndim != 1 or not (weight_N >= 0).all() or not 0 < weight_N.sum() < math.inf:
            raise ConfigurationError("weights that choose nothing", expected="(N,) of numbers from 0, not all 0")
        group_N = np.arange(len(weight_N)) if groups is None else np.asarray(groups, dtype=np.int64)
        if group_N.shape != weight_N.shape:
            raise ConfigurationError(f"{group_N.size} groups for {weight_N.size} weights", expected="one for each")
        self.length = len(weight_N) if length is None else length
        if self.length < 1:
            raise ConfigurationError(f"an epoch of {self.length} draws", expected="1 or more")
        self.seed, self._purpose = seed, f"spaced {purpose}"
        # Frames of a group stand together, alike ones (of one weight) next to one another, in an order of chance.
        chance_N = uniform(seed, f"{self._purpose} turn", np.arange(len(weight_N)))
        self._turn: Integers = np.lexsort((chance_N, weight_N, group_N)).astype(np.int64)
        _, self._group = np.unique(group_N[self._turn], return_inverse=True)
        cumulated_N = np.cumsum(weight_N[self._turn])
        self._until: Doubles = cumulated_N * (self.length / cumulated_N[-1])
        self._until[-1] = self.length
        self._orders: dict[int, Integers] = {}

    def at(self, ordinals: ArrayLike) -> Integers:
        """Return the frame (B,) at each ordinal (B,) of epoch 0, epoch 1, ..."""
        epoch_B, place_B = np.divmod(np.array(ordinals, dtype=np.int64, ndmin=1), self.length)
        frame_B = np.empty_like(place_B)
        for epoch in set(epoch_B.tolist()):
            mine = epoch_B == epoch
            frame_B[mine] = self._order(epoch)[place_B[mine]]
        return frame_B

    def copies(self, epoch: int) -> Integers:
        """Return (N,) how often each frame comes in an epoch; together n times."""
        copies_N = np.empty(len(self._turn), np.int64)
        copies_N[self._turn] = self._copies(epoch)
        return copies_N

    def _copies(self, epoch: int) -> Integers:
        """Return the copies of the frames in turn: systematic sampling, which rounds every run of frames fairly."""
        start = (float(uniform(self.seed, f"{self._purpose} start", 0)) + epoch * _GOLDEN) % 1.0
        # A last step past the epoch's end, or a start of almost 1, must not add a copy: floor is bounded.
        upto_N = np.minimum(np.floor(self._until + start), self.length).astype(np.int64)
        upto_N[-1] = self.length
        return np.diff(upto_N, prepend=0)

    def _order(self, epoch: int) -> Integers:
        order = self._orders.get(epoch)
        if order is None:
            order = self._turn[self._spread(self._copies(epoch), epoch)]
            # Replaced as a whole: threads see the old table or the new one, and any order is as good as another.
            self._orders = {**dict(list(self._orders.items())[-1:]), epoch: order}
        return order

    def _spread(self, copies_N: Integers, epoch: int) -> Integers:
        """Return (n,) which frame in turn stands at each place of the epoch."""
        item_n = np.repeat(np.arange(len(copies_N)), copies_N)
        nth_n = np.arange(self.length) - np.repeat(np.cumsum(copies_N) - copies_N, copies_N)
        phase_N = uniform(self.seed, f"{self._purpose} frame", epoch, np.arange(len(copies_N)))
        own_n = (nth_n + phase_N[item_n]) / copies_N[item_n]
        # First the order within each group, in which a frame's copies are spread; then the groups' slots.
        group_n = self._group[item_n]
        item_n = item_n[np.lexsort((own_n, group_n))]
        size_G = np.bincount(group_n, minlength=int(self._group.max()) + 1)
        rank_n = np.arange(self.length) - np.repeat(np.cumsum(size_G) - size_G, size_G)
        phase_G = uniform(self.seed, f"{self._purpose} group", epoch, np.arange(len(size_G)))
        slot_n = (rank_n + np.repeat(phase_G, size_G)) / np.repeat(size_G, size_G)
        spread_n: Integers = item_n[np.argsort(slot_n, kind="stable")]
        return spread_n
