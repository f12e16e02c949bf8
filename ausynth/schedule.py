"""What index k is: integer interleaving, keyed permutations and seeds, each a pure function. No I/O, no torch.

Everything is vectorised over indices and costs the same for sample 10 and for sample 10^9: nothing is drawn in order,
no state is carried, no array of an epoch's length is made.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ausynth.errors import ConfigurationError

__all__ = ["Integers", "Interleave", "Mixture", "Permutation", "as_share", "random_bits", "uniform"]

Integers = NDArray[np.int64]
Words = NDArray[np.uint64]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)

_MAX_DENOMINATOR = 1_000_000


def as_share(value: float | Fraction, what: str = "ratio") -> Fraction:
    """Return a share as the fraction that was meant: 0.1 is 1/10, 2/3 is 2/3, to one part in a million.

    Raises:
        ConfigurationError: not a number in [0, 1].
    """
    try:
        share = Fraction(value).limit_denominator(_MAX_DENOMINATOR)
    except (TypeError, ValueError, OverflowError):
        share = Fraction(-1)
    if not 0 <= share <= 1:
        raise ConfigurationError(
            f"{what} {value!r}", expected="a number from 0 (real frames only) to 1 (synthetic frames only)"
        )
    return share


@dataclass(frozen=True)
class Interleave:
    """Deals the indices 0, 1, 2, ... to two hands so that any n consecutive ones hold n * share, within 1.

    Index k goes to the first hand where floor((k + 1) share) > floor(k share): a Bresenham line.

    >>> first, ordinal = Interleave(Fraction(2, 3)).deal(range(6))
    >>> first.tolist()
    [False, True, True, False, True, True]
    >>> ordinal.tolist()
    [0, 0, 1, 1, 2, 3]
    """

    share: Fraction

    def count(self, n: ArrayLike) -> Integers:
        """Return how many of the first `n` indices go to the first hand."""
        whole, rest = np.divmod(np.asarray(n, dtype=np.int64), self.share.denominator)
        # Split like this, no product leaves 64 bits, whatever the index.
        counted: Integers = whole * self.share.numerator + rest * self.share.numerator // self.share.denominator
        return counted

    def deal(self, k: ArrayLike) -> tuple[NDArray[np.bool_], Integers]:
        """Return which indices go to the first hand, and each index's place in the hand that it goes to."""
        index = np.asarray(k, dtype=np.int64)
        if self.share.denominator == 1:  # all to one hand
            return np.full(index.shape, self.share == 1), index
        before = self.count(index)
        first = self.count(index + 1) > before
        return first, np.where(first, before, index - before)


class Mixture:
    """Deals the indices to several sources by weight: nested interleavings, so every window is right within a few.

    >>> source, ordinal = Mixture([1, 1, 2]).deal(range(8))
    >>> np.bincount(source).tolist()
    [2, 2, 4]

    Args:
        weights: one for each source, 0 or more, in any unit.

    Raises:
        ConfigurationError: no weight is above 0, or one is below.
    """

    def __init__(self, weights: Sequence[float | Fraction]) -> None:
        exact = [Fraction(weight).limit_denominator(_MAX_DENOMINATOR) for weight in weights]
        if not exact or min(exact) < 0 or sum(exact) == 0:
            raise ConfigurationError(f"weights {list(weights)}", expected="a number from 0 for each source, not all 0")
        rest = sum(exact)
        self._hands = []
        for weight in exact:
            self._hands.append(Interleave((weight / rest).limit_denominator(_MAX_DENOMINATOR) if rest else Fraction(0)))
            rest -= weight

    def deal(self, k: ArrayLike) -> tuple[Integers, Integers]:
        """Return the source of each index and its place within that source."""
        ordinal = np.array(k, dtype=np.int64, ndmin=1)
        source = np.full(ordinal.shape, -1, dtype=np.int64)
        for number, hand in enumerate(self._hands):
            open_ = source < 0
            first, place = hand.deal(ordinal)
            ordinal = np.where(open_, place, ordinal)
            source[first & open_] = number
        return source, ordinal


class Permutation:
    """A seeded permutation of range(length) that is computed, not stored: a Feistel network with cycle walking.

    Black and Rogaway, "Ciphers with arbitrary finite domains" (CT-RSA 2002). Each `epoch` is another permutation.

    >>> sorted(Permutation(5, seed=1).at(range(5)).tolist())
    [0, 1, 2, 3, 4]

    Args:
        length: 1 or more.
        seed: any whole number; what it is for enters through `purpose`.
        purpose: keeps the permutations of one seed apart.
    """

    _ROUNDS = 4  # enough for a strong pseudorandom permutation (Luby and Rackoff 1988)

    def __init__(self, length: int, seed: int, purpose: str = "") -> None:
        if length < 1:
            raise ConfigurationError(f"a permutation of {length} things", expected="1 or more")
        self.length, self.seed, self.purpose = length, seed, purpose
        bits = max(2, (length - 1).bit_length())
        self._low_bits, self._high_bits = bits // 2, bits - bits // 2
        self._keys = [_key(seed, f"permutation {purpose} {number}") for number in range(self._ROUNDS)]

    def at(self, position: ArrayLike, epoch: ArrayLike = 0) -> Integers:
        """Return what stands at each position, 0 <= position < length, in the permutation of `epoch`."""
        value = np.array(position, dtype=np.uint64, ndmin=1)
        epochs = np.broadcast_to(np.asarray(epoch, dtype=np.uint64), value.shape)
        value = self._encrypt(value, epochs)
        while (outside := np.flatnonzero(value >= np.uint64(self.length))).size:
            value[outside] = self._encrypt(value[outside], epochs[outside])
        return value.astype(np.int64)

    def endless(self, ordinal: ArrayLike) -> Integers:
        """Return what stands at each ordinal of the endless sequence epoch 0, epoch 1, ...: each holds all once."""
        epoch, position = np.divmod(np.asarray(ordinal, dtype=np.int64), self.length)
        return self.at(position, epoch)

    def _encrypt(self, value: Words, epoch: Words) -> Words:
        left_bits, right_bits = self._high_bits, self._low_bits
        left, right = value >> np.uint64(right_bits), value & np.uint64((1 << right_bits) - 1)
        salt = _mix(epoch + _GOLDEN)
        for key in self._keys:
            # One multiplication spreads the word upwards, and the top bits are taken: a round needs no more.
            mixed = ((right ^ salt ^ key) + _GOLDEN) * np.uint64(0xBF58476D1CE4E5B9)
            mixed ^= mixed >> np.uint64(29)
            mixed *= np.uint64(0x94D049BB133111EB)
            left, right = right, left ^ (mixed >> np.uint64(64 - left_bits))
            left_bits, right_bits = right_bits, left_bits
        return (left << np.uint64(right_bits)) | right


def random_bits(seed: int, purpose: str, *words: ArrayLike) -> NDArray[np.uint64]:
    """Return 64 well-mixed bits for each tuple of `words` (broadcast whole numbers), keyed by seed and purpose.

    Chained splitmix64 finalisers (Steele et al., "Fast splittable pseudorandom number generators", 2014).
    """
    state: Words = np.array([_key(seed, purpose)])
    for word in words:
        state = _mix(state ^ _mix(np.atleast_1d(word).astype(np.uint64) + _GOLDEN))
    return _mix(state).reshape(np.broadcast_shapes(*map(np.shape, words)))


def uniform(seed: int, purpose: str, *words: ArrayLike) -> NDArray[np.float64]:
    """Return a number in [0, 1) for each tuple of `words`; see `random_bits`."""
    return (random_bits(seed, purpose, *words) >> np.uint64(11)).astype(np.float64) * 2.0**-53


@lru_cache(maxsize=1024)
def _key(seed: int, purpose: str) -> np.uint64:
    digest = hashlib.blake2b(f"{seed}\0{purpose}".encode(), digest_size=8).digest()
    return np.uint64(int.from_bytes(digest, "little"))


def _mix(z: Words) -> Words:
    z = z.copy()
    z ^= z >> np.uint64(30)
    z *= np.uint64(0xBF58476D1CE4E5B9)
    z ^= z >> np.uint64(27)
    z *= np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    return z
