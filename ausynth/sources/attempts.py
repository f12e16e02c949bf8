"""Makes samples: draws again what is rejected, and takes from a store what another plan has made already."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ausynth.errors import AusynthError, DamagedError, GenerationError
from ausynth.generators.base import Conditions, Generator
from ausynth.generators.stored import StoredGenerator
from ausynth.schedule import Integers
from ausynth.sources.made import Made, content_keys
from ausynth.sources.memo import Memo
from ausynth.sources.screening import Reject, Screen

__all__ = ["MAX_ATTEMPTS", "Attempts", "Reject"]

MAX_ATTEMPTS = 16
"""How often a sample is drawn again before a stream gives up: by then it is the request that cannot be met."""


class Attempts:
    """Turns ordinals into accepted samples.

    Args:
        generator: makes the pictures.
        conditions: (ordinals (B,), attempt) -> what each asks of the generator then.
        screen: says which pictures must not be shown.
        memo: the store, if there is one.

    Attributes:
        keyed: whether samples get content keys where there is no store.
    """

    def __init__(
        self,
        generator: Generator,
        conditions: Callable[[Integers, int], Conditions],
        screen: Screen,
        memo: Memo | None,
    ) -> None:
        self.generator, self._conditions, self.screen, self.memo = generator, conditions, screen, memo
        self.keyed = False
        self.rejected = 0
        """How many pictures this process has rejected."""
        self._said: set[str] = set()

    def make(self, j_B: Integers) -> Made:
        """Return the ordinals (B,), whole blocks, with those that are rejected drawn again."""
        made = self._attempt(j_B, 0)
        bad_N = np.flatnonzero(self._bad(made))
        for attempt in range(1, MAX_ATTEMPTS + 1):
            if not bad_N.size:
                return made
            self.rejected += bad_N.size
            # A block is always run whole: its companions are part of what a picture is.
            rows_N = bad_N if self.generator.block_size == 1 else np.arange(len(j_B))
            again = self._attempt(j_B[rows_N], attempt)
            asked_N = np.isin(rows_N, bad_N)
            good_N = asked_N & ~self._bad(again, asked_N)
            made = made.replaced(rows_N[good_N], again.rows(np.flatnonzero(good_N)))
            bad_N = np.setdiff1d(bad_N, rows_N[good_N])
        if bad_N.size:
            vector = made.conditions.intensity[bad_N[0]]
            asked = ", ".join(f"AU{au} {v:g}" for au, v in zip(self.generator.aus, vector, strict=True) if v) or "no AU"
            raise GenerationError(
                f"synthetic sample {j_B[bad_N[0]]} ({asked}) was rejected {MAX_ATTEMPTS + 1} times",
                expected="a request that the generator can meet",
                do="loosen reject=, guard= or the generator's gates, or leave such label vectors out with sampler=",
            )
        return made

    def _bad(self, made: Made, asked: NDArray[np.bool_] | None = None) -> NDArray[np.bool_]:
        """Return which samples (B,) are to be drawn again; of those that are not `asked` the answer does not matter."""
        refused_B = np.zeros(len(made), bool) if made.refused is None else made.refused
        if not self.screen:
            return refused_B
        asked_B = ~refused_B if asked is None else asked & ~refused_B
        return refused_B | self.screen.rejects(made.images, made.labels, made.keys, asked_B)

    def _attempt(self, j_B: Integers, attempt: int) -> Made:
        """Return one attempt of each ordinal (B,), from the store where another plan has the same sample there."""
        conditions = self._conditions(j_B, attempt)
        attempts = np.full(len(j_B), attempt, np.int64)
        if self.memo is None:
            return self._generate(conditions, attempts, self.keys(conditions) if self.keyed else None)
        keys = self.keys(conditions)
        places_B = self.memo.find_content(keys)
        if self.generator.block_size > 1:  # a block is there as a whole, or is made as a whole
            whole = (places_B.reshape(-1, self.generator.block_size) >= 0).all(axis=1)
            places_B = np.where(np.repeat(whole, self.generator.block_size), places_B, -1)
        found, missing = np.flatnonzero(places_B >= 0), np.flatnonzero(places_B < 0)
        if not found.size:
            return self._generate(conditions, attempts, keys)
        try:
            parts = [self.memo.restored(places_B[found], conditions.rows(found), attempts[found], keys[found])]
        except DamagedError as error:
            if isinstance(self.generator, StoredGenerator):
                raise
            self.say("damage", f"{error} It is generated anew.")
            return self._attempt(j_B, attempt)
        if missing.size:
            parts.append(self._generate(conditions.rows(missing), attempts[missing], keys[missing]))
        return Made.join(parts).rows(np.argsort(np.concatenate([found, missing])))

    def _generate(self, conditions: Conditions, attempts: Integers, keys: NDArray[np.uint8] | None) -> Made:
        made = self.generator.generate(conditions)
        size, count = self.generator.image_size, len(conditions)
        if made.images.shape != (count, size, size, 3) or len(made.labels) != count:
            raise AusynthError(
                f"generator {self.generator.name!r} returned images of shape {made.images.shape} and "
                f"{len(made.labels)} label rows",
                expected=f"({count}, {size}, {size}, 3) and {count} rows",
                do="hold it to its contract with ausynth.testing.check_generator",
            )
        refused = None if made.accepted is None else ~made.accepted
        if self.memo is None:
            return Made(made.images, made.labels, conditions, attempts, keys, refused=refused)
        images, coded = self.memo.as_stored(made.images)
        return Made(images, made.labels, conditions, attempts, keys, coded, np.zeros(count, bool), refused)

    def keys(self, conditions: Conditions) -> NDArray[np.uint8]:
        """Return the content keys (B, 16) of conditions (B,), whole blocks."""
        return content_keys(self.generator.fingerprint, conditions, self.generator.block_size)

    def say(self, kind: str, text: str) -> None:
        """Warn, once for each kind of thing to say."""
        if kind not in self._said:
            self._said.add(kind)
            warnings.warn(text, UserWarning, stacklevel=2)
