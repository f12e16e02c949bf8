"""The synthetic side of a stream: ordinal j -> conditions -> a generator's picture and the labels of what it shows."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ausynth.errors import AusynthError, ConfigurationError, GenerationError, require_whole
from ausynth.generators.base import Conditions, Generator
from ausynth.labels import Floats, Labels
from ausynth.naming import fingerprint_of
from ausynth.samplers.base import LabelSampler
from ausynth.schedule import Integers, Permutation, random_bits
from ausynth.sources.blocks import BlockRunner, Made
from ausynth.tables import ByBlocks

__all__ = ["MAX_ATTEMPTS", "Reject", "SyntheticSource"]

Reject = Callable[[NDArray[np.uint8], Labels], NDArray[np.bool_]]

MAX_ATTEMPTS = 16
"""How often a sample is drawn again before a stream gives up: by then it is the request that cannot be met."""


class SyntheticSource:
    """An endless sequence of generated faces in which ordinal j is the same picture whoever asks for it, and when.

    Args:
        generator: makes the pictures.
        sampler: says which label vector each ordinal asks for; over the generator's AUs.
        seed: of labels, identities and noise.
        identities: how many people are shown; each appears once before any appears again.
        reject: (images (B, H, W, 3) uint8, labels) -> (B,) bool, True where a picture must not be shown. Such a sample
            is drawn again with another person and noise, and the same label vector, 16 times at most.
    """

    def __init__(
        self,
        generator: Generator,
        sampler: LabelSampler,
        *,
        seed: int,
        identities: int = 10_000,
        reject: Reject | None = None,
    ) -> None:
        if sampler.aus != generator.aus:
            raise ConfigurationError(
                f"the label sampler draws over {sampler.aus}", expected=f"the generator's AUs {generator.aus}"
            )
        require_whole("identities", identities, 1)
        self.generator, self.sampler, self.seed, self.reject = generator, sampler, seed, reject
        self._reject_name = fingerprint_of(reject, "reject") if reject else None
        self.people = Permutation(identities, seed, "synthetic identities")
        device = getattr(generator, "device", None)
        self.blocks = BlockRunner(self._make_block, device=None if device is None else str(device))
        self._asked = ByBlocks(self._ask)
        self.rejected = 0
        """How many pictures this process has rejected."""

    @property
    def fingerprint(self) -> str:
        """Return a hash of generator, sampler, seed, number of identities, and the name of `reject`."""
        parts = (self.generator.fingerprint, self.sampler.fingerprint, self.seed, self.people.length, self._reject_name)
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]

    def conditions(self, ordinals: Integers, attempt: int = 0) -> Conditions:
        """Return what each ordinal (B,) asks of the generator, at the first attempt or a later one."""
        j_B = np.asarray(ordinals, dtype=np.int64)
        intensity_BA, identity_B, noise_B = self._asked.at(j_B)
        if attempt:
            noise_B = self._noise(j_B, attempt)
            drawn_B = random_bits(self.seed, "identity of an attempt", j_B, attempt) % np.uint64(self.people.length)
            identity_B = drawn_B.astype(np.int64)
        return Conditions(intensity_BA, identity_B, noise_B)

    def _ask(self, j_B: Integers) -> tuple[Floats, Integers, Integers]:
        return self.sampler.sample(j_B, self.seed), self.people.endless(j_B), self._noise(j_B, 0)

    def _noise(self, j_B: Integers, attempt: int) -> Integers:
        bits_B = random_bits(self.seed, "synthetic noise", j_B, attempt) >> np.uint64(1)
        return bits_B.astype(np.int64)

    def begin(self, ordinals: Integers) -> Callable[[], Made]:
        """Ask for the ordinals (B,) and return the function that waits for them.

        A generator of blocks starts on them now; one whose pictures are independent makes them in the waiting thread.
        """
        j_B = np.asarray(ordinals, dtype=np.int64)
        if self.generator.block_size == 1:
            return lambda: self._make(j_B)
        blocks_B, rows_B = np.divmod(j_B, self.generator.block_size)
        asked = [(self.blocks.ask(int(block)), rows_B[blocks_B == block]) for block in np.unique(blocks_B)]
        # np.unique sorts: back to the order that was asked for.
        order_B = np.argsort(np.argsort(blocks_B, kind="stable"), kind="stable")

        def wait() -> Made:
            made = [future.result().rows(rows) for future, rows in asked]
            return Made.join(made).rows(order_B)

        return wait

    def _make_block(self, number: int) -> Made:
        size = self.generator.block_size
        return self._make(np.arange(number * size, (number + 1) * size))

    def _make(self, j_B: Integers) -> Made:
        """Return the ordinals, with those that are rejected drawn again."""
        made = self._attempt(j_B, 0)
        if self.reject is None:
            return made
        bad_N = np.flatnonzero(self.reject(made.images, made.labels))
        for attempt in range(1, MAX_ATTEMPTS + 1):
            if not bad_N.size:
                return made
            self.rejected += bad_N.size
            # A block is always run whole: its companions are part of what a picture is.
            rows_N = bad_N if self.generator.block_size == 1 else np.arange(len(j_B))
            again = self._attempt(j_B[rows_N], attempt)
            still_N = np.asarray(self.reject(again.images, again.labels), dtype=bool)
            good_N = np.isin(rows_N, bad_N) & ~still_N
            made = made.replaced(rows_N[good_N], again.rows(np.flatnonzero(good_N)))
            bad_N = np.setdiff1d(bad_N, rows_N[good_N])
        if bad_N.size:
            vector = self.sampler.sample(j_B[bad_N[:1]], self.seed)[0]
            asked = ", ".join(f"AU{au} {v:g}" for au, v in zip(self.sampler.aus, vector, strict=True) if v) or "no AU"
            raise GenerationError(
                f"synthetic sample {j_B[bad_N[0]]} ({asked}) was rejected {MAX_ATTEMPTS + 1} times",
                expected="a request that the generator can meet",
                do="loosen reject=, or leave such label vectors out with sampler=",
            )
        return made

    def _attempt(self, j_B: Integers, attempt: int) -> Made:
        conditions = self.conditions(j_B, attempt)
        made = self.generator.generate(conditions)
        size = self.generator.image_size
        if made.images.shape != (len(j_B), size, size, 3) or len(made.labels) != len(j_B):
            raise AusynthError(
                f"generator {self.generator.name!r} returned images of shape {made.images.shape} and "
                f"{len(made.labels)} label rows",
                expected=f"({len(j_B)}, {size}, {size}, 3) and {len(j_B)} rows",
                do="hold it to its contract with ausynth.testing.check_generator",
            )
        return Made(made.images, made.labels, conditions.identity)
