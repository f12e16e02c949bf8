"""Puts a batch together: deals the samples to the two sides, reads, generates, and joins pictures and labels."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ausynth.buffers import BufferPool, rows_of
from ausynth.generators.asking import counts_of
from ausynth.labels import DEFAULT_THRESHOLD, Labels
from ausynth.schedule import Integers, Interleave
from ausynth.sources.crop import resize_into
from ausynth.sources.real import RealSource
from ausynth.sources.side import Fill, SyntheticSide
from ausynth.stats import Stats, stage
from ausynth.transforms import Transform, runs_in_threads, transform_batch, transform_tensors

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
        source_names: what the numbers of the sources stand for.
        pinned: whether tensors are put into pinned memory, from which CUDA copies without waiting.
        stats: where the time goes.
        buffers: the memory of the pictures.
    """

    hand: Interleave
    real: RealSource | None
    synthetic: SyntheticSide | None
    aus: Sequence[int]
    threshold: float | None
    image_size: int
    match_resolution: bool
    seed: int
    transform: Transform | None
    source_names: tuple[str, ...]
    pinned: bool = False
    stats: Stats = field(default_factory=Stats)
    buffers: BufferPool = field(default_factory=BufferPool)

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

    def begin(self, keys: Integers, step: int) -> Callable[[], Batch]:
        """Start on the samples `keys` (B,) and return the function that makes the batch, in whatever thread."""
        synthetic_B, ordinal_B = self.hand.deal(keys)
        fill = None
        if synthetic_B.any():
            assert self.synthetic is not None  # a ratio above 0 has a synthetic side
            fill = self.synthetic.begin(ordinal_B[synthetic_B])

        def finish() -> Batch:
            with self.stats.collect(), stage("whole batch"):
                return self._finish(keys, step, synthetic_B, ordinal_B, fill)

        return finish

    def report(self) -> dict[str, Any]:
        """Return seconds by stage, samples by source, files skipped, pictures rejected, and what gates did."""
        seen = self.stats.snapshot()
        seconds = seen["seconds"]
        inside = ["read", "decode", "cache", "generate"]
        if self.transform is not None and runs_in_threads(self.transform):
            inside.append("transform")
        if "whole batch" in seconds:
            whole = seconds.pop("whole batch")
            seconds["assemble"] = max(0.0, whole - sum(seconds.get(name, 0.0) for name in inside))
        skipped = dict(self.real.skipped) if self.real else {}
        rejected = self.synthetic.rejected if self.synthetic else 0
        gates = counts_of(getattr(self.synthetic, "generator", None))
        screen = getattr(self.synthetic, "screen", None)
        guarded = screen.report() if screen is not None else None
        found = {"skipped": skipped, "rejected": rejected, "gates": gates}
        return {**seen, **found, **({"guard": guarded} if guarded else {})}

    @contextlib.contextmanager
    def running(self, threads: int) -> Iterator[None]:
        """Let the synthetic side prepare for an iteration on so many threads, and clear up after it."""
        with contextlib.nullcontext() if self.synthetic is None else self.synthetic.running(threads):
            yield

    @property
    def ends(self) -> bool:
        """Return whether the synthetic side has a last face."""
        return self.synthetic is not None and self.synthetic.length is not None

    def last_round(self, base: int, size: int) -> int | None:
        """Return how many rounds of `size` samples from `base` on the synthetic side has faces for; None: no end."""
        end = self.synthetic.length if self.synthetic is not None else None
        if end is None:
            return None
        # A share of 0 has no synthetic side, so samples beyond this bound want more faces than there are.
        low, high = 0, int((end + 1) / self.hand.share) // size + 1
        while low < high:  # the largest number of rounds whose faces are all there
            middle = (low + high + 1) // 2
            fits = int(self.hand.count(base + middle * size)) <= end
            low, high = (middle, high) if fits else (low, middle - 1)
        return low

    def make(self, keys: Integers, step: int) -> Batch:
        """Return the samples `keys` (B,) as a batch; its fields are those that `MixedStream` describes."""
        return self.deliver(self.begin(keys, step)())

    def _finish(
        self,
        keys: Integers,
        step: int,
        synthetic_B: NDArray[np.bool_],
        ordinal_B: Integers,
        fill: Fill | None,
    ) -> Batch:
        made_B, found_B = np.flatnonzero(synthetic_B), np.flatnonzero(~synthetic_B)
        images_BHWC = self.buffers.take((len(keys), self.image_size, self.image_size, 3))
        # The synthetic side is numbered after the real sources, whether or not it has any sample here.
        source_B = np.full(len(keys), len(self.real.sources) if self.real else 0, np.int64)
        identity_B = np.zeros(len(keys), np.int64)
        labels: list[Labels] = []
        if found_B.size:
            assert self.real is not None  # a ratio below 1 has a real side
            size = self._real_size
            direct = rows_of(images_BHWC, found_B) if size == self.image_size else None
            pixels = self.buffers.take((found_B.size, size, size, 3)) if direct is None else direct
            source_B[found_B], identity_B[found_B], real_labels = self.real.read(ordinal_B[found_B], pixels)
            if direct is None:
                _resize_rows(pixels, found_B, images_BHWC)
            labels.append(real_labels)
        if fill is not None:
            assert self.synthetic is not None  # it gave the function
            size = self.synthetic.image_size
            direct = rows_of(images_BHWC, made_B) if size == self.image_size else None
            pixels = self.buffers.take((made_B.size, size, size, 3)) if direct is None else direct
            made_labels, identity_B[made_B] = fill(pixels)
            if direct is None:
                _resize_rows(pixels, made_B, images_BHWC)
            labels.append(made_labels.at_threshold(self.threshold or DEFAULT_THRESHOLD).project(self.aus))
        self.stats.count(zip(self.source_names, np.bincount(source_B).tolist(), strict=False))
        joined = labels[0]
        if len(labels) > 1:
            joined = Labels.concatenate(labels)[np.argsort(np.concatenate([found_B, made_B]))]
        batch = {
            "image": self._augment(images_BHWC, keys),
            "occurrence": torch.from_numpy(joined.occurrence),
            "intensity": torch.from_numpy(joined.intensity),
            "mask": torch.from_numpy(joined.mask),
            "confidence": torch.from_numpy(joined.confidence),
            "synthetic": torch.from_numpy(synthetic_B),
            "identity": torch.from_numpy(source_B * IDENTITY_SPAN + identity_B),
            "source": torch.from_numpy(source_B),
            "key": torch.from_numpy(keys),
        }
        if self.pinned:
            batch = {name: value.pin_memory() for name, value in batch.items()}
        return {**batch, "step": step}

    @property
    def _real_size(self) -> int:
        matched = self.match_resolution and self.synthetic is not None
        return self.synthetic.image_size if matched and self.synthetic else self.image_size

    def _augment(self, images_BHWC: NDArray[np.uint8], keys: Integers) -> Any:
        if self.transform is not None and runs_in_threads(self.transform):
            with stage("transform"):
                return transform_batch(self.transform, images_BHWC, keys, self.seed)
        # Channels-last in memory, as decoders write and convolutions read fastest: no copy.
        return torch.from_numpy(images_BHWC).permute(0, 3, 1, 2)

    def deliver(self, batch: Batch) -> Batch:
        """Return the batch with a transform applied that must run in the thread of the training loop."""
        if self.transform is not None and not runs_in_threads(self.transform):
            with self.stats.collect(), stage("transform"):
                batch["image"] = transform_tensors(self.transform, batch["image"], batch["key"].numpy(), self.seed)
        return batch


def _resize_rows(pixels: NDArray[np.uint8], rows: Integers, out: NDArray[np.uint8]) -> None:
    if pixels.shape[1:] == out.shape[1:]:
        out[rows] = pixels
        return
    for image, row in zip(pixels, rows, strict=True):
        resize_into(image, out[row])
