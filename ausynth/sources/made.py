"""Samples that were generated, and everything that is to be remembered of them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ausynth.generators.asking import reads_prompts
from ausynth.generators.base import Conditions, Generator
from ausynth.labels import Labels
from ausynth.schedule import Integers
from ausynth.store import Recipe, Samples

__all__ = ["Made", "content_keys", "recipe_of"]

_KEY = 16


@dataclass(frozen=True, eq=False)
class Made:
    """B generated samples.

    Attributes:
        images: (B, H, W, 3) uint8.
        labels: of what they show.
        conditions: what was asked for.
        attempts: (B,) int64, which attempt each is.
        keys: (B, 16) uint8 content keys, where somebody wants to store the samples.
        coded: (B,) object, the JPEG bytes that the pictures were decoded from, where a store wants those.
        stored: (B,) bool, whether each was read from a store.
        refused: (B,) bool, whether its generator does not stand for it; None: for none.
    """

    images: NDArray[np.uint8]
    labels: Labels
    conditions: Conditions
    attempts: Integers
    keys: NDArray[np.uint8] | None = None
    coded: NDArray[Any] | None = None
    stored: NDArray[np.bool_] | None = None
    refused: NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        return len(self.images)

    @classmethod
    def join(cls, parts: Sequence[Made]) -> Made:
        """Return the samples of all parts."""
        if len(parts) == 1:
            return parts[0]
        return cls(
            np.concatenate([part.images for part in parts]),
            Labels.concatenate([part.labels for part in parts]),
            Conditions.join([part.conditions for part in parts]),
            np.concatenate([part.attempts for part in parts]),
            _joined([part.keys for part in parts]),
            _joined([part.coded for part in parts]),
            _joined([part.stored for part in parts]),
            _refused(parts),
        )

    def samples(self, ordinals: Integers) -> Samples:
        """Return what a store keeps beside the pictures; `ordinals` (B,) are theirs. Needs `keys`."""
        assert self.keys is not None
        return Samples(
            number=ordinals,
            key=self.keys,
            labels=self.labels,
            asked=self.conditions.intensity,
            identity=self.conditions.identity,
            noise=self.conditions.noise,
            attempt=self.attempts,
            text=tuple(self.conditions.prompt or [""] * len(self)),
        )

    def rows(self, rows: Integers) -> Made:
        """Return the chosen samples."""
        return Made(
            self.images[rows],
            self.labels[rows],
            self.conditions.rows(rows),
            self.attempts[rows],
            None if self.keys is None else self.keys[rows],
            None if self.coded is None else self.coded[rows],
            None if self.stored is None else self.stored[rows],
            None if self.refused is None else self.refused[rows],
        )

    def replaced(self, rows: Integers, by: Made) -> Made:
        """Return the samples with those at `rows` replaced."""
        order = np.arange(len(self))
        order[rows] = len(order) + np.arange(len(rows))
        return Made.join([self, by]).rows(order) if len(rows) else self


def _refused(parts: Sequence[Made]) -> NDArray[np.bool_] | None:
    if all(part.refused is None for part in parts):
        return None
    return np.concatenate([np.zeros(len(part), bool) if part.refused is None else part.refused for part in parts])


def _joined(columns: list[Any]) -> Any:
    return None if any(column is None for column in columns) else np.concatenate(columns)


def content_keys(fingerprint: str, conditions: Conditions, block_size: int) -> NDArray[np.uint8]:
    """Return (B, 16) uint8: a hash of all that makes each sample, whatever plan asked for it.

    That is the generator's fingerprint, the label vector, identity, noise and prompt and, where pictures depend on
    their companions (`block_size` above 1), those of the whole block, and the sample's place in it.

    Args:
        fingerprint: of the generator.
        conditions: B of them; whole blocks.
        block_size: of the generator.
    """
    texts = conditions.prompt or [""] * len(conditions)
    # + 0.0 turns -0.0 into 0.0: they are one request and have two spellings.
    columns = (conditions.intensity + np.float32(0), conditions.identity[:, None], conditions.noise[:, None])
    packed = np.concatenate([np.ascontiguousarray(column).view(np.uint8) for column in columns], axis=1)
    start = hashlib.blake2b(f"{fingerprint} {block_size}".encode(), digest_size=_KEY)
    digests = []
    for row, text in zip(packed, texts, strict=True):
        own = start.copy()
        own.update(row.tobytes())
        own.update(text.encode())
        digests.append(own.digest())
    if block_size > 1:
        blocks = [b"".join(digests[first : first + block_size]) for first in range(0, len(digests), block_size)]
        digests = [
            hashlib.blake2b(b"%d " % place + block, digest_size=_KEY).digest()
            for block in blocks
            for place in range(block_size)
        ]
    return np.frombuffer(b"".join(digests), np.uint8).reshape(-1, _KEY)


def recipe_of(generator: Generator, codec: Literal["raw", "jpeg"] = "raw", quality: int | None = None) -> Recipe:
    """Return what all shards of a store of this generator's faces have in common."""
    about: dict[str, Any] = {"generator": generator.name, "block_size": generator.block_size}
    if reads_prompts(generator):
        about["reads_prompts"] = True
    gates = getattr(generator, "gates", ())
    if gates:
        about["gates"] = [f"{gate.name} {gate.fingerprint}" for gate in gates]
    look = getattr(generator, "look", None)
    if look:
        about["look"] = look
    shown = getattr(generator, "shows", ())
    if shown:
        about["shows"] = list(shown)
    licence = getattr(generator, "licence", None)
    if licence:
        about["licence"] = licence
    trained_on = getattr(generator, "trained_on", None)
    if trained_on:
        about["trained_on"] = list(trained_on)
    return Recipe(
        kind="synthetic",
        aus=tuple(generator.aus),
        image_size=generator.image_size,
        codec=codec,
        quality=quality,
        fingerprint=generator.fingerprint,
        about=about,
    )
