"""What users hand to the pipeline, as tensors, or refused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ausynth import facs
from ausynth.errors import ConfigurationError
from ausynth.generators.maugen.sampling import noise_of
from ausynth.schedule import random_bits

__all__ = ["count_of_seeds", "draw_noise", "label_vectors", "pictures", "spread"]


def label_vectors(given: Any, aus: tuple[int, ...]) -> NDArray[np.float32]:
    """Return intensities as (B, A), NaN for what is left open.

    Args:
        given: (A,), (B, A), {AU: intensity} with 0 for AUs that it leaves out, or None: all are left open.
        aus: the model's.
    """
    if given is None:
        return np.full((1, len(aus)), np.nan, np.float32)
    if isinstance(given, dict):
        unknown = sorted(set(given) - set(aus))
        if unknown:
            names = ", ".join(str(facs.ACTION_UNITS.get(au, f"AU{au}")) for au in unknown)
            raise ConfigurationError(f"intensities for {names}", expected=f"AUs of the model: {aus}")
        given = [given.get(au, 0.0) for au in aus]
    values_NA = np.atleast_2d(np.asarray(given, np.float32))
    if values_NA.ndim != 2 or values_NA.shape[1] != len(aus):
        raise ConfigurationError(
            f"intensities of shape {values_NA.shape}", expected=f"{len(aus)} columns, one for each of {aus}"
        )
    known = values_NA[~np.isnan(values_NA)]
    if known.size and not (known.min() >= 0 and known.max() <= 5):
        raise ConfigurationError(f"intensities from {known.min():g} to {known.max():g}", expected="0-5, or NaN")
    return values_NA


def pictures(given: Any, size: int) -> Tensor:
    """Return pictures as (B, size, size, 3) uint8."""
    import cv2

    rows = given if isinstance(given, list | tuple) else [given]
    arrays = [each for row in rows for each in _arrays(np.asarray(row))]
    return torch.from_numpy(
        np.stack(
            [
                each if each.shape[:2] == (size, size) else cv2.resize(each, (size, size), interpolation=cv2.INTER_AREA)
                for each in arrays
            ]
        )
    )


def _arrays(pixels: NDArray[Any]) -> list[NDArray[np.uint8]]:
    if pixels.dtype != np.uint8 or pixels.ndim not in (3, 4) or pixels.shape[-1] != 3:
        raise ConfigurationError(
            f"a picture of shape {pixels.shape}, {pixels.dtype}", expected="(H, W, 3) or (B, H, W, 3) uint8, or PIL RGB"
        )
    return list(pixels if pixels.ndim == 4 else pixels[None])


def spread(rows: list[Any], count: int, name: str) -> list[Any]:
    """Return rows as they are if there are `count`, or a lone one so many times."""
    if len(rows) not in (1, count):
        raise ConfigurationError(f"{len(rows)} of {name} for {count} samples", expected=f"1 or {count}")
    return rows * count if len(rows) == 1 else rows


def count_of_seeds(generator: Any) -> int:
    """Return for how many samples seeds or generators were given."""
    return len(generator) if isinstance(generator, Sequence) else 1


def draw_noise(generator: Any, count: int, shape: tuple[int, ...], draw: int) -> Tensor:
    """Return (count, *shape) noise.

    Args:
        generator: of torch, one for each sample, seeds, one seed (then seed, seed + 1, ...), or None to draw anew.
        count: B.
        shape: of a sample.
        draw: tells the draws of one call apart, where seeds are given.
    """
    if generator is None or isinstance(generator, torch.Generator):
        where = "cpu" if generator is None else generator.device
        return torch.randn(count, *shape, generator=generator, device=where)
    if isinstance(generator, int):
        generator = [generator + row for row in range(count)]
    if len(generator) != count:
        raise ConfigurationError(f"{len(generator)} generators for {count} samples", expected=f"one, or {count}")
    if all(isinstance(each, torch.Generator) for each in generator):
        return torch.cat([torch.randn(1, *shape, generator=each, device=each.device) for each in generator])
    words = random_bits(draw, "maugen noise", np.asarray([int(seed) for seed in generator], np.int64))
    return noise_of((words >> np.uint64(1)).astype(np.int64).tolist(), shape)
