"""The synthetic side of a stream: ordinal j -> conditions -> a generator's picture and the labels of what it shows."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ausynth.errors import AusynthError, ConfigurationError
from ausynth.generators.base import Conditions, Generated, Generator
from ausynth.labels import Labels
from ausynth.samplers.base import LabelSampler
from ausynth.schedule import Integers, Permutation, random_bits
from ausynth.sources.blocks import BlockRunner

__all__ = ["SyntheticSource"]


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
        self.blocks = BlockRunner(self._make_block)

    @property
    def fingerprint(self) -> str:
        """Return a hash of generator, sampler, seed and number of identities."""
        parts = (self.generator.fingerprint, self.sampler.fingerprint, self.seed, self.people.length)
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]

    def conditions(self, ordinals: Integers) -> Conditions:
        """Return what each ordinal (B,) asks of the generator; nothing is generated."""
        j_B = np.asarray(ordinals, dtype=np.int64)
        noise_B = random_bits(self.seed, "synthetic noise", j_B) >> np.uint64(1)
        return Conditions(
            intensity=self.sampler.sample(j_B, self.seed),
            identity=self.people.endless(j_B),
            noise=noise_B.astype(np.int64),
        )

    def begin(self, ordinals: Integers) -> Callable[[], tuple[NDArray[np.uint8], Labels, Integers]]:
        """Ask for the ordinals (B,) and return the function that waits for them.

        It returns images (B, H, W, 3) at the generator's size, labels over its AUs, and identities (B,). A generator of
        blocks starts on them now; one whose pictures are independent makes them when they are waited for, in the
        thread that waits.
        """
        j_B = np.asarray(ordinals, dtype=np.int64)
        if self.generator.block_size == 1:
            return lambda: self._independent(j_B)
        blocks_B, rows_B = np.divmod(j_B, self.generator.block_size)
        asked = {int(block): self.blocks.ask(int(block)) for block in np.unique(blocks_B)}

        def wait() -> tuple[NDArray[np.uint8], Labels, Integers]:
            made = {block: future.result() for block, future in asked.items()}
            images_BHWC = np.stack(
                [made[block].images[row] for block, row in zip(blocks_B.tolist(), rows_B, strict=True)]
            )
            parts = [made[block].labels[rows_B[blocks_B == block]] for block in made]
            order = np.concatenate([np.flatnonzero(blocks_B == block) for block in made])
            return images_BHWC, Labels.concatenate(parts)[np.argsort(order)], self.people.endless(j_B)

        return wait

    def _independent(self, j_B: Integers) -> tuple[NDArray[np.uint8], Labels, Integers]:
        made = self._run(j_B)
        return made.images, made.labels, self.people.endless(j_B)

    def _make_block(self, number: int) -> Generated:
        size = self.generator.block_size
        return self._run(np.arange(number * size, (number + 1) * size))

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
