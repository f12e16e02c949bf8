"""Augmentation seeded by the sample's index: what a user's transform does to sample k is the same each time."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from ausynth.schedule import random_bits

__all__ = ["Transform", "runs_in_threads", "transform_batch", "transform_tensors"]

Transform = Callable[..., Any]

_copies = threading.local()


def runs_in_threads(transform: Transform) -> bool:
    """Return whether a transform keeps its own random state, as albumentations do (`set_random_seed`).

    Anything else, such as torchvision v2, draws from torch's process-wide generator and runs in the training loop's
    thread.
    """
    return hasattr(transform, "set_random_seed")


def transform_batch(transform: Transform, images: NDArray[np.uint8], keys: NDArray[np.int64], seed: int) -> Any:
    """Return an albumentations `transform` of each picture, seeded by seed and key, stacked.

    Args:
        transform: the user's; each thread works on a copy of its own.
        images: (B, H, W, 3) uint8.
        keys: (B,) sample indices.
        seed: the stream's.

    Returns:
        What `torch.stack` makes of the results; (H, W, C) arrays become (C, H, W) tensors first.
    """
    mine = cast("Any", _own_copy(transform))
    results = []
    for image_HWC, each in zip(images, _seeds(keys, seed), strict=True):
        mine.set_random_seed(each)
        result = mine(image=image_HWC)["image"]
        if not isinstance(result, torch.Tensor):
            result = torch.from_numpy(np.ascontiguousarray(np.moveaxis(np.atleast_3d(result), 2, 0)))
        results.append(result)
    return torch.stack(results)


def transform_tensors(transform: Transform, images: torch.Tensor, keys: NDArray[np.int64], seed: int) -> Any:
    """Return `transform` of each picture of `images` (B, 3, H, W) uint8, seeded by seed and key, stacked.

    The process-wide random state of torch is left as it was.
    """
    results = []
    with torch.random.fork_rng(devices=[]):
        for image_CHW, each in zip(images, _seeds(keys, seed), strict=True):
            # Not torch.manual_seed: it would reseed CUDA too, under the training loop's feet.
            torch.default_generator.manual_seed(each)
            results.append(torch.as_tensor(transform(image_CHW.contiguous())))
    return torch.stack(results)


def _seeds(keys: NDArray[np.int64], seed: int) -> list[int]:
    bits: list[int] = (random_bits(seed, "transform", keys) >> np.uint64(32)).tolist()  # albumentations takes 32 bits
    return bits


def _own_copy(transform: Transform) -> Transform:
    """Return this thread's copy of `transform`: seeding one copy in two threads would mix their draws."""
    kept = getattr(_copies, "kept", None)
    if kept is None or kept[0] is not transform:
        kept = _copies.kept = (transform, copy.deepcopy(transform))
    return cast("Transform", kept[1])
