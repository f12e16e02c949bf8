"""Augmentation seeded by the sample's index: what a user's transform does to sample k is the same each time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from ausynth.schedule import random_bits

__all__ = ["Transform", "transform_batch"]

Transform = Callable[..., Any]


def transform_batch(transform: Transform, images: NDArray[np.uint8], keys: NDArray[np.int64], seed: int) -> Any:
    """Return `transform` of each picture, stacked.

    An albumentations transform (known by its `set_random_seed`) gets the picture as (H, W, 3) uint8; anything else,
    such as a torchvision v2 transform, gets a (3, H, W) uint8 tensor. Both are seeded by seed and key, and the
    process-wide random state of torch is left as it was.

    Args:
        transform: the user's.
        images: (B, H, W, 3) uint8.
        keys: (B,) sample indices.
        seed: the stream's.

    Returns:
        What `torch.stack` makes of the results; (H, W, C) arrays become (C, H, W) tensors first.
    """
    seeds = random_bits(seed, "transform", keys) >> np.uint64(32)  # albumentations takes 32 bits
    apply = _albumentations if hasattr(transform, "set_random_seed") else _torchvision
    return torch.stack([apply(transform, image, int(each)) for image, each in zip(images, seeds, strict=True)])


def _albumentations(transform: Transform, image_HWC: NDArray[np.uint8], seed: int) -> torch.Tensor:
    cast("Any", transform).set_random_seed(seed)
    result = transform(image=image_HWC)["image"]
    if isinstance(result, torch.Tensor):
        return result
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(np.atleast_3d(result), 2, 0)))


def _torchvision(transform: Transform, image_HWC: NDArray[np.uint8], seed: int) -> torch.Tensor:
    image_CHW = torch.from_numpy(image_HWC).permute(2, 0, 1).contiguous()
    with torch.random.fork_rng(devices=[]):
        # Not torch.manual_seed: it would reseed CUDA too, under the training loop's feet.
        torch.default_generator.manual_seed(seed)
        return torch.as_tensor(transform(image_CHW))
