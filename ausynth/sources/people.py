"""Whom each synthetic ordinal shows: numbers that a generator turns into people, or the people of a bank."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from ausynth.errors import require_whole
from ausynth.samplers.identity_bank import IdentityBank
from ausynth.schedule import Integers, Permutation, random_bits

__all__ = ["People", "people_of"]


class People(Protocol):
    """Deals people to ordinals."""

    @property
    def key(self) -> int | str:
        """Return what tells it from others, for plans: a number of people, or a bank's fingerprint."""
        ...

    def first(self, j_B: Integers) -> Integers:
        """Return whom each ordinal (B,) shows."""
        ...

    def again(self, j_B: Integers, attempt: int) -> Integers:
        """Return whom each ordinal (B,) shows at a later attempt."""
        ...


def people_of(identities: int | IdentityBank, seed: int) -> People:
    """Return the people that `MixedStream`'s argument `identities` says."""
    return _Bank(identities, seed) if isinstance(identities, IdentityBank) else _Numbers(identities, seed)


class _Numbers:
    """So many people, each dealt once before any comes again."""

    def __init__(self, count: int, seed: int) -> None:
        require_whole("identities", count, 1)
        self.key, self._seed = count, seed
        self._order = Permutation(count, seed, "synthetic identities")

    def first(self, j_B: Integers) -> Integers:
        return self._order.endless(j_B)

    def again(self, j_B: Integers, attempt: int) -> Integers:
        drawn_B = random_bits(self._seed, "identity of an attempt", j_B, attempt) % np.uint64(self.key)
        return drawn_B.astype(np.int64)


class _Bank:
    """The people of a bank, as often as it says."""

    def __init__(self, bank: IdentityBank, seed: int) -> None:
        self._bank, self._seed, self.key = bank, seed, bank.fingerprint

    def first(self, j_B: Integers) -> Integers:
        return self._bank.deal(j_B, self._seed)

    def again(self, j_B: Integers, attempt: int) -> Integers:
        return self._bank.redeal(j_B, attempt, self._seed)
