"""A fake encoder, generator and source of faces for the tests of identity: the first pixel says who it shows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ausynth import facs
from ausynth.generators.base import Conditions, Generated
from ausynth.labels import Labels


def person_vectors(numbers: NDArray[np.int64], dimension: int = 32) -> NDArray[np.float32]:
    """Return a direction for each person, the same always."""
    rows = [np.random.default_rng(int(n)).standard_normal(dimension) for n in numbers]
    vectors = np.reshape(rows, (len(rows), dimension))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


class FakeEncoder:
    """Sees who is in a picture by its red and green (256 r + g), and how they look by its blue; black is no face."""

    name, dimension, fork_safe = "fake", 32, True

    def __init__(self, spread: float = 0.15, fingerprint: str = "fake-encoder") -> None:
        self.spread, self.fingerprint = spread, fingerprint
        self.embedded = 0

    def embed(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        self.embedded += len(images)
        first = images[:, 0, 0].astype(np.int64)
        who = first[:, 0] * 256 + first[:, 1]
        looks = self.spread * person_vectors(100_000 + who * 256 + first[:, 2], self.dimension)
        vectors = person_vectors(who, self.dimension) + looks
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return np.where((who == 0)[:, None], 0, vectors).astype(np.float32)


def face(who: int, look: int = 0, size: int = 16) -> NDArray[np.uint8]:
    image = np.zeros((size, size, 3), np.uint8)
    image[:] = who // 256, who % 256, look
    return image


class FaceGenerator:
    """Shows person 1 + identity % `people`, with a look that follows from the noise."""

    name = "faces"

    def __init__(self, people: int = 40, *, block_size: int = 1, trained_on: Sequence[str] = ()) -> None:
        self.count, self.block_size, self.trained_on = people, block_size, tuple(trained_on)
        self.image_size, self.aus = 16, facs.UNION_17

    @property
    def fingerprint(self) -> str:
        return f"faces {self.count} {self.block_size}"

    def generate(self, conditions: Conditions) -> Generated:
        pairs = zip(conditions.identity.tolist(), conditions.noise.tolist(), strict=True)
        images = [face(1 + who % self.count, noise % 256) for who, noise in pairs]
        stacked = np.stack(images) if images else np.empty((0, 16, 16, 3), np.uint8)
        return Generated(stacked, Labels.from_intensity(self.aus, conditions.intensity))


class FaceSource:
    """`each` pictures of everybody in `shown`, of the subjects SN001, SN002, ... who are the people 1, 2, ..."""

    benchmark = facs.DISFA_8

    def __init__(self, shown: Sequence[int], *, everyone: int = 20, each: int = 4, name: str = "disfa") -> None:
        self.name = name
        self.subjects = tuple(f"SN{n + 1:03d}" for n in range(everyone))
        self.identities = np.repeat(np.asarray(shown, dtype=np.int64), each)
        self.labels = Labels.from_intensity(facs.DISFA_8, np.zeros((len(self.identities), 8), np.float32))

    @property
    def fingerprint(self) -> str:
        return f"{self.name} {self.identities.tolist()}"

    def __len__(self) -> int:
        return len(self.identities)

    def read(self, indices: Sequence[int] | NDArray[np.int64], out: NDArray[np.uint8]) -> None:
        for position, index in enumerate(indices):
            out[position] = face(int(self.identities[int(index)]) + 1, int(index) % 200)[:1, :1]
