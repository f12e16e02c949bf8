"""The synthetic side of a stream: ordinal j -> conditions -> a generator's picture and the labels of what it shows."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ausynth.errors import AusynthError, ConfigurationError
from ausynth.generators.base import Conditions, Generated, Generator
from ausynth.labels import Labels
from ausynth.samplers.base import LabelSampler
from ausynth.schedule import Integers, Permutation, random_bits

__all__ = ["SyntheticSource"]

_KEPT_BLOCKS = 4
"""Blocks of a generator kept around, since neighbouring batches cut the same block."""


@dataclass(frozen=True, eq=False)
class _Block:
    images: NDArray[np.uint8]
    labels: Labels


class SyntheticSource:
    """An endless sequence of generated faces in which ordinal j is the same picture whoever asks for it, and when.

    Args:
        generator: makes the pictures.
        sampler: says which label vector each ordinal asks for; over the generator's AUs.
        seed: of labels, identities and noise.
        identities: how many people are shown; each appears once before any appears again.
    """

    def __init__(self, generator: Generator, sampler: LabelSampler, *, seed: int, identities: int = 10_000) -> None:
        if sampler.aus != generator.aus:
            raise ConfigurationError(
                f"the label sampler draws over {sampler.aus}", expected=f"the generator's AUs {generator.aus}"
            )
        if identities < 1:
            raise ConfigurationError(f"{identities} synthetic identities", expected="1 or more")
        self.generator, self.sampler, self.seed = generator, sampler, seed
        self.people = Permutation(identities, seed, "synthetic identities")
        self._blocks: OrderedDict[int, _Block] = OrderedDict()

    @property
    def fingerprint(self) -> str:
        """Return a hash of generator, sampler, seed and number of identities."""
        parts = (self.generator.fingerprint, self.sampler.fingerprint, self.seed, self.people.length)
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_blocks": OrderedDict()}

    def conditions(self, ordinals: Integers) -> Conditions:
        """Return what each ordinal (B,) asks of the generator; nothing is generated."""
        j_B = np.asarray(ordinals, dtype=np.int64)
        noise_B = random_bits(self.seed, "synthetic noise", j_B) >> np.uint64(1)
        return Conditions(
            intensity=self.sampler.sample(j_B, self.seed),
            identity=self.people.endless(j_B),
            noise=noise_B.astype(np.int64),
        )

    def generate(self, ordinals: Integers) -> tuple[NDArray[np.uint8], Labels, Integers]:
        """Return images (B, H, W, 3) at the generator's size, labels over its AUs, and identities (B,)."""
        j_B = np.asarray(ordinals, dtype=np.int64)
        identities_B = self.people.endless(j_B)
        if self.generator.block_size == 1:
            made = self._run(j_B)
            return made.images, made.labels, identities_B
        blocks_B, rows_B = np.divmod(j_B, self.generator.block_size)
        parts = [(self._block(int(block)), row) for block, row in zip(blocks_B, rows_B, strict=True)]
        images_BHWC = np.stack([block.images[row] for block, row in parts])
        return images_BHWC, Labels.concatenate([block.labels[[row]] for block, row in parts]), identities_B

    def _block(self, number: int) -> _Block:
        if number in self._blocks:
            self._blocks.move_to_end(number)
            return self._blocks[number]
        size = self.generator.block_size
        made = self._run(np.arange(number * size, (number + 1) * size))
        self._blocks[number] = _Block(made.images, made.labels)
        while len(self._blocks) > _KEPT_BLOCKS:
            self._blocks.popitem(last=False)
        return self._blocks[number]

    def _run(self, j_B: Integers) -> Generated:
        made = self.generator.generate(self.conditions(j_B))
        size = self.generator.image_size
        if made.images.shape != (len(j_B), size, size, 3) or len(made.labels) != len(j_B):
            raise AusynthError(
                f"generator {self.generator.name!r} returned images of shape {made.images.shape} and "
                f"{len(made.labels)} label rows",
                expected=f"({len(j_B)}, {size}, {size}, 3) and {len(j_B)} rows",
                do="hold it to its contract with ausynth.testing.check_generator",
            )
        return made
