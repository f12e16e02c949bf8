"""Label vectors of a balance for the synthetic ordinals: counts kept even by herding, in blocks that need no memory.

Independent draws drift from their distribution as 1/sqrt(n). Herding (Welling 2009; here its softmax form) draws each
pattern from q exp(kappa G.f / tau), with G what the patterns so far lack of the expected features f (the AUs and their
pairs). A running sum would be state, so it starts anew at every block of 1,000 ordinals, from the block's own seed:
each block is a pure function of its number.

Legend: B ordinals, n ordinals of a block, M patterns, A AUs of the balance, L = 6 levels 0-5.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ausynth import facs
from ausynth.errors import ConfigurationError
from ausynth.labels import Floats
from ausynth.samplers.balance import Balance
from ausynth.samplers.chosen import beside_5, lids_and_brows
from ausynth.samplers.companions import Companions
from ausynth.samplers.rules import can_trace
from ausynth.samplers.statistics import Doubles
from ausynth.schedule import Integers, uniform
from ausynth.tables import ByBlocks

__all__ = ["BLOCK", "BalancedSampler", "Herd"]

BLOCK = 1_000
"""Ordinals between two fresh starts."""

_STRENGTH = 0.1
"""kappa / tau: how strongly a lack pulls."""

_TOGETHER = 8
"""Patterns drawn before their sum is looked at again: four times as fast as one by one, and as even."""

_PRODUCTS = 200_000
"""Multiplications at a time; see `ausynth.samplers.quadratic`."""


class Herd:
    """Draws patterns so that their counts keep to a distribution in every stretch.

    >>> herd = Herd(np.array([[0, 0], [1, 0], [1, 1]], np.uint8), np.array([0.5, 0.25, 0.25]))
    >>> np.bincount(herd.block(7, seed=0), minlength=3).tolist()
    [500, 250, 250]

    Args:
        patterns: (M, A) 0 or 1.
        probabilities: (M,), sum to 1; a pattern of probability 0 is never drawn.
    """

    def __init__(self, patterns: NDArray[np.uint8], probabilities: Doubles) -> None:
        self._kept = np.flatnonzero(probabilities > 0)
        if not self._kept.size:
            raise ConfigurationError("a distribution without a pattern", expected="probabilities above 0")
        # In the order of the patterns read as numbers, neighbours are alike: drawing several at once by one stretched
        # uniform then takes different ones.
        self._patterns = patterns[self._kept].astype(np.float32)
        size = max(1, _PRODUCTS // (_TOGETHER * patterns.shape[1]))
        self._pieces = [slice(start, start + size) for start in range(0, len(self._kept), size)]
        share_M = probabilities[self._kept] / probabilities[self._kept].sum()
        self._log_share = np.log(share_M).astype(np.float32)
        present_MA = self._patterns.astype(np.float64)
        expected_AA = present_MA.T @ (present_MA * share_M[:, None])
        both_M = np.einsum("ma,ma->m", present_MA @ expected_AA, present_MA)
        # f(s).t over AUs and pairs is (s T s + s diag(T)) / 2, with T the expected joint rates.
        self._drift = (_STRENGTH * _TOGETHER / 2 * (both_M + present_MA @ np.diag(expected_AA))).astype(np.float32)

    def block(self, number: int, seed: int) -> Integers:
        """Return the patterns (n,), as row numbers, of a block of 1,000 ordinals."""
        starts = uniform(seed, "herding", number, np.arange(BLOCK // _TOGETHER))
        chosen = np.empty((len(starts), _TOGETHER), np.int64)
        steps = np.arange(_TOGETHER)
        score_M = self._log_share.copy()
        for turn, start in enumerate(starts):
            upto_M = np.cumsum(np.exp(score_M - score_M.max()), dtype=np.float64)
            wanted = (start + steps) / _TOGETHER * upto_M[-1]
            rows = np.minimum(np.searchsorted(upto_M, wanted, side="right"), len(upto_M) - 1)
            chosen[turn] = rows
            # Of n AUs that two patterns share, n (n + 1) / 2 AUs and pairs are features of both.
            drawn_AT = self._patterns[rows].T
            for piece in self._pieces:
                shared_MT = self._patterns[piece] @ drawn_AT
                shared_MT *= shared_MT + 1
                score_M[piece] += self._drift[piece] - np.float32(_STRENGTH / 2) * shared_MT.sum(axis=1)
        # Drawn together they came sorted: within a turn the order is chance.
        shuffle = uniform(seed, "herding: order", number, np.arange(BLOCK)).reshape(chosen.shape).argsort(axis=1)
        rows_n: Integers = self._kept[np.take_along_axis(chosen, shuffle, axis=1).ravel()]
        return rows_n


class BalancedSampler:
    """Asks a generator for the label vectors of a balance; see `LabelSampler`.

    Occurrence patterns are herded; the levels of each AU are dealt in their shares over every block; AUs that the
    generator controls and the balance does not know join now and then, as far as FACS allows, and never change one that
    it knows.

    Args:
        balance: of `calibrate`, with a synthetic side that is not a pool.
        aus: the AUs that the generator controls; default those of the balance.

    Raises:
        ConfigurationError: a balance without a synthetic side, or one that asks for an AU that the generator lacks.
    """

    def __init__(self, balance: Balance, aus: Sequence[int] | None = None) -> None:
        if not len(balance.patterns):
            raise ConfigurationError(
                "a balance that asks for no label vectors", expected="ratio above 0, and labels from no pool"
            )
        known = [au for au, shown in zip(balance.aus, balance.shown, strict=True) if shown]
        self.aus = facs.label_space(known if aus is None else aus)
        lacking = [au for au in known if au not in self.aus]
        if lacking:
            raise ConfigurationError(
                f"a balance that asks for AU {lacking}, which the generator does not control",
                do="calibrate(..., controls=generator.aus)",
            )
        self._balance = balance
        columns = [balance.aus.index(au) for au in known]
        self._to = [self.aus.index(au) for au in known]
        self._patterns = balance.patterns[:, columns]
        self._levels, self._first = balance.levels[columns], balance.first_level
        self._traces = can_trace(self._patterns, known, balance.tracing[columns])
        self._seven, self._both = lids_and_brows(self._patterns, known)
        self._herd = Herd(self._patterns, balance.probabilities)
        self._companions = Companions(self.aus, known)
        self._blocks: dict[int, ByBlocks] = {}

    @property
    def fingerprint(self) -> str:
        """Return a hash of the balance and the generator's AUs."""
        parts = (1, self._balance.fingerprint, self.aus, BLOCK, _STRENGTH, _TOGETHER, self._companions.parameters)
        digest = hashlib.sha256(repr(parts).encode())
        digest.update(self._balance.probabilities.tobytes())  # a channel that was solved through changes them
        return f"balanced-{digest.hexdigest()[:16]}"

    def sample(self, ordinals: Integers, seed: int) -> Floats:
        """Return (B, A) float32 intensities; see `LabelSampler.sample`."""
        j_B = np.asarray(ordinals, dtype=np.int64)
        if not j_B.size:
            return np.zeros((0, len(self.aus)), np.float32)
        table = self._blocks.get(seed)
        if table is None:
            table = ByBlocks(_Maker(self, seed), block=BLOCK)
            self._blocks = {seed: table}  # one stream, one seed: others are computed anew
        intensity_BA: Floats = table.at(j_B)[0]
        return intensity_BA

    def block(self, number: int, seed: int) -> Floats:
        """Return (n, A) the intensities of a block of 1,000 ordinals."""
        rows_n = self._herd.block(number, seed)
        known_nA = self._deal_levels(rows_n, number, seed)
        intensity_nA = np.zeros((BLOCK, len(self.aus)), np.float32)
        intensity_nA[:, self._to] = known_nA
        self._companions.join(intensity_nA, np.arange(number * BLOCK, (number + 1) * BLOCK), seed)
        return facs.with_implied(intensity_nA, self.aus).astype(np.float32)

    def _deal_levels(self, rows_n: Integers, number: int, seed: int) -> NDArray[np.int64]:
        """Return (n, A) levels: among the cells of one kind each level comes as often as its share, within 1."""
        present_nA = self._patterns[rows_n] > 0
        trace_nA = self._traces[rows_n]
        columns_A = np.arange(present_nA.shape[1])
        chance_nA = uniform(seed, "herding: level", number, np.arange(BLOCK)[:, None], columns_A)
        start_AK = uniform(seed, "herding: levels of a block", number, columns_A[:, None], np.arange(3))
        level_nA = np.zeros(present_nA.shape, np.int64)
        for column, levels_L in enumerate(self._levels):
            high_L, low_L = levels_L.copy(), levels_L.copy()
            high_L[: self._first], low_L[self._first :] = 0, 0
            lids_n = (self._both[rows_n] > 0) & (column == self._seven)
            freely_n = present_nA[:, column] & ~lids_n
            kinds = ((freely_n, high_L), (trace_nA[:, column], low_L), (lids_n, beside_5(high_L)))
            for kind, (here_n, shares_L) in enumerate(kinds):
                cells = np.flatnonzero(here_n)
                if cells.size:
                    place = chance_nA[cells, column].argsort().argsort()
                    share = (place + start_AK[column, kind]) / cells.size
                    upto_L = np.cumsum(shares_L)
                    level = np.searchsorted(upto_L, share * upto_L[-1], side="right")
                    level_nA[cells, column] = np.minimum(level, np.flatnonzero(shares_L)[-1])
        return level_nA


class _Maker:
    """Makes whole blocks for `ByBlocks`; a class, so that a sampler pickles."""

    def __init__(self, sampler: BalancedSampler, seed: int) -> None:
        self._sampler, self._seed = sampler, seed

    def __call__(self, ordinals: Integers) -> tuple[Floats]:
        return (self._sampler.block(int(ordinals[0]) // BLOCK, self._seed),)
