"""How well intensities are read: F1 of occurrence and mean absolute error, per action unit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import nn

from ausynth.labels import DEFAULT_THRESHOLD, Floats
from ausynth.networks.augment import to_signed

__all__ = ["Scores", "read", "score"]

_AT_ONCE: Final = 256


@dataclass(frozen=True, eq=False)
class Scores:
    """How well N pictures were read.

    Attributes:
        aus: the A action units.
        f1: (A,) F1 of intensity >= 2; NaN where an AU is neither there nor found.
        mae: (A,) mean absolute error of the clipped intensity.
        mae_of_zeros: (A,) the same of who answers 0 always.
        rate: (A,) share of the pictures that show it.
    """

    aus: tuple[int, ...]
    f1: NDArray[np.float64]
    mae: NDArray[np.float64]
    mae_of_zeros: NDArray[np.float64]
    rate: NDArray[np.float64]

    def to_json(self) -> dict[str, Any]:
        """Return means and the figures of each AU, as JSON."""
        return {
            "f1": round(float(np.nanmean(self.f1)), 4),
            "mae": round(float(np.nanmean(self.mae)), 4),
            "mae_of_zeros": round(float(np.nanmean(self.mae_of_zeros)), 4),
            "f1_by_au": {str(au): round(float(value), 4) for au, value in zip(self.aus, self.f1, strict=True)},
            "mae_by_au": {str(au): round(float(value), 4) for au, value in zip(self.aus, self.mae, strict=True)},
        }


def read(network: nn.Module, images: NDArray[np.uint8]) -> Floats:
    """Return (N, A) what a network reads of (N, H, W, 3) uint8 pictures, not clipped."""
    device = next(network.parameters()).device
    parts = []
    with torch.inference_mode():
        for start in range(0, len(images), _AT_ONCE):
            batch = to_signed(images[start : start + _AT_ONCE]).to(device)
            parts.append(network(batch.contiguous(memory_format=torch.channels_last)).float().cpu().numpy())
    found: Floats = np.concatenate(parts)
    return found


def score(aus: Sequence[int], found: ArrayLike, truth: ArrayLike, threshold: float = DEFAULT_THRESHOLD) -> Scores:
    """Return how well (N, A) intensities were read; what is NaN in `truth` is left out, and NaN in `found` too."""
    found_NA, truth_NA = np.asarray(found, np.float64).clip(0, 5), np.asarray(truth, np.float64)
    known_NA = ~np.isnan(truth_NA) & ~np.isnan(found_NA)
    says_NA, is_NA = (found_NA >= threshold) & known_NA, (truth_NA >= threshold) & known_NA
    hits_A, ones_A = (says_NA & is_NA).sum(0), says_NA.sum(0) + is_NA.sum(0)
    count_A = np.maximum(known_NA.sum(0), 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        f1_A = np.where(ones_A > 0, 2 * hits_A / ones_A, np.nan)
    error_NA = np.where(known_NA, np.abs(found_NA - truth_NA), 0)
    zeros_NA = np.where(known_NA, truth_NA, 0)
    return Scores(tuple(aus), f1_A, error_NA.sum(0) / count_A, zeros_NA.sum(0) / count_A, is_NA.sum(0) / count_A)
