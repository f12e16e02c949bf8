"""A source and a generator in memory, whose pictures say which picture they are."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ausynth import facs
from ausynth.errors import FrameError
from ausynth.generators.base import Conditions, Generated
from ausynth.labels import Labels


class FakeSource:
    """N pictures; picture i is uniformly (number, i // 256, i % 256), and its first AU has intensity i % 6."""

    def __init__(
        self,
        length: int,
        *,
        number: int = 1,
        name: str = "fake",
        aus: Sequence[int] = (1, 2, 12),
        people: int = 3,
        corrupt: Sequence[int] = (),
        threshold: float = 2,
    ) -> None:
        self.name, self.number, self.corrupt = name, number, frozenset(corrupt)
        intensity = np.zeros((length, len(aus)), np.float32)
        intensity[:, 0] = np.arange(length) % 6
        self.labels = Labels.from_intensity(tuple(aus), intensity, threshold=threshold)
        self.benchmark = tuple(aus)
        self.subjects = tuple(f"{name}-{i}" for i in range(people))
        self.identities = np.arange(length) % people

    @property
    def fingerprint(self) -> str:
        return f"{self.name} {self.number} {len(self)} {self.labels.aus}"

    def __len__(self) -> int:
        return len(self.labels)

    def read(self, indices: Sequence[int] | NDArray[np.int64], out: NDArray[np.uint8]) -> None:
        for position, index in enumerate(indices):
            if int(index) in self.corrupt:
                error = FrameError.of(f"{self.name}/{index}.jpg", "damaged")
                error.position = position
                raise error
            out[position] = (self.number, index // 256, index % 256)


class FakeGenerator:
    """Pictures that hash their conditions and, above block size 1, their companions; labels as asked."""

    name = "fake"

    def __init__(self, *, image_size: int = 16, aus: Sequence[int] = facs.UNION_17, block_size: int = 1) -> None:
        self.image_size, self.aus, self.block_size = image_size, tuple(aus), block_size
        self.calls: list[int] = []

    @property
    def fingerprint(self) -> str:
        return f"fake {self.image_size} {self.aus} {self.block_size}"

    def generate(self, conditions: Conditions) -> Generated:
        self.calls.append(len(conditions))
        assert len(conditions) % self.block_size == 0, "asked for a part of a block"
        size = self.image_size
        images = np.empty((len(conditions), size, size, 3), np.uint8)
        for row in range(len(conditions)):
            block = slice(row - row % self.block_size, row - row % self.block_size + self.block_size)
            words = [
                conditions.intensity[row],
                conditions.identity[row],
                conditions.noise[block],
                row % self.block_size,
            ]
            digest = hashlib.sha256(b"".join(np.asarray(word).tobytes() for word in words)).digest()
            images[row] = np.frombuffer(digest[:3], np.uint8)
        return Generated(images, Labels.from_intensity(self.aus, conditions.intensity))
