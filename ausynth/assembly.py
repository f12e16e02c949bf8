"""Puts a batch together: deals the samples to the two sides, reads, generates, and joins pictures and labels."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ausynth.labels import DEFAULT_THRESHOLD, Labels
from ausynth.schedule import Integers, Interleave
from ausynth.sources.crop import resize_into
from ausynth.sources.real import RealSource
from ausynth.sources.synthetic import SyntheticSource
from ausynth.transforms import Transform, transform_batch

__all__ = ["IDENTITY_SPAN", "Assembler", "Batch"]

Batch = dict[str, Any]

IDENTITY_SPAN = 1 << 32
"""Identities of source s are numbered from s times this."""


@dataclass(frozen=True)
class Assembler:
    """All that decides what sample k is, and the function from k to the sample.

    Attributes:
        hand: which samples are synthetic.
        real: the real side; None where no sample is real.
        synthetic: the synthetic side; None where no sample is synthetic.
        aus: the label space of the batches.
        threshold: the intensity from which an AU of a synthetic sample occurs; None: the usual one.
        image_size: height and width in pixels.
        match_resolution: whether real frames go through the generator's resolution.
        seed: of the augmentation; both sides have their own.
        transform: the user's augmentation.
    """

    hand: Interleave
    real: RealSource | None
    synthetic: SyntheticSource | None
    aus: Sequence[int]
    threshold: float | None
    image_size: int
    match_resolution: bool
    seed: int
    transform: Transform | None

    @property
    def plan(self) -> str:
        """Return the hash of all that decides what sample k is, before `transform`."""
        parts = {
            "ratio": str(self.hand.share),
            "real": self.real.fingerprint if self.real else None,
            "synthetic": self.synthetic.fingerprint if self.synthetic else None,
            "aus": list(self.aus),
            "threshold": self.threshold,
            "image_size": self.image_size,
            "match_resolution": self.match_resolution,
            "seed": self.seed,
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]

    def make(self, keys: Integers, step: int) -> Batch:
        """Return the samples `keys` (B,) as a batch; its fields are those that `MixedStream` describes."""
        synthetic_B, ordinal_B = self.hand.first(keys), self.hand.ordinal(keys)
        made_B, found_B = np.flatnonzero(synthetic_B), np.flatnonzero(~synthetic_B)
        images_BHWC = np.empty((len(keys), self.image_size, self.image_size, 3), np.uint8)
        # The synthetic side is numbered after the real sources, whether or not it has any sample here.
        source_B = np.full(len(keys), len(self.real.sources) if self.real else 0, np.int64)
        identity_B = np.zeros(len(keys), np.int64)
        labels: list[Labels] = []
        if found_B.size:
            assert self.real is not None  # a ratio below 1 has a real side
            pixels = np.empty((found_B.size, self._real_size, self._real_size, 3), np.uint8)
            source_B[found_B], identity_B[found_B], real_labels = self.real.read(ordinal_B[found_B], pixels)
            _resize_rows(pixels, found_B, images_BHWC)
            labels.append(real_labels)
        if made_B.size:
            assert self.synthetic is not None  # a ratio above 0 has a synthetic side
            pixels, made_labels, identity_B[made_B] = self.synthetic.generate(ordinal_B[made_B])
            _resize_rows(pixels, made_B, images_BHWC)
            labels.append(made_labels.at_threshold(self.threshold or DEFAULT_THRESHOLD).project(self.aus))
        joined = Labels.concatenate(labels)[np.argsort(np.concatenate([found_B, made_B]))]
        return {
            "image": self._finish(images_BHWC, keys),
            "occurrence": torch.from_numpy(joined.occurrence),
            "intensity": torch.from_numpy(joined.intensity),
            "mask": torch.from_numpy(joined.mask),
            "confidence": torch.from_numpy(joined.confidence),
            "synthetic": torch.from_numpy(synthetic_B),
            "identity": torch.from_numpy(source_B * IDENTITY_SPAN + identity_B),
            "source": torch.from_numpy(source_B),
            "key": torch.from_numpy(keys),
            "step": step,
        }

    @property
    def _real_size(self) -> int:
        matched = self.match_resolution and self.synthetic is not None
        return self.synthetic.generator.image_size if matched and self.synthetic else self.image_size

    def _finish(self, images_BHWC: NDArray[np.uint8], keys: Integers) -> Any:
        if self.transform is not None:
            return transform_batch(self.transform, images_BHWC, keys, self.seed)
        return torch.from_numpy(images_BHWC).permute(0, 3, 1, 2).contiguous()


def _resize_rows(pixels: NDArray[np.uint8], rows: Integers, out: NDArray[np.uint8]) -> None:
    if pixels.shape[1:] == out.shape[1:]:
        out[rows] = pixels
        return
    for image, row in zip(pixels, rows, strict=True):
        resize_into(image, out[row])
