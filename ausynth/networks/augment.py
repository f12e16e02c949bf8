"""What is done to faces before a small network is shown them, so that it reads pictures it was not trained on.

A generator's pictures are softer, flatter and noisier than renders, in ways that change while it learns: a judge that
has seen only renders reads such pictures at random.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["Augment"]


@dataclass(frozen=True)
class Augment:
    """Draws another view of each picture: place, scale and turn, mirror, light and colour, softness, noise.

    Action units do not tell sides apart, so that a mirrored face has the same labels.

    Attributes:
        turn: standard deviation in degrees, of half of the batches; the others are shifted by whole pixels, which
            leaves them sharp.
        scale: standard deviation of the size, as a share.
        brightness: standard deviation, where the whole range of a picture is 2.
        contrast: standard deviation of the contrast's logarithm.
        colour: standard deviation of each channel's gain.
        soften: share of the pictures that are blended with their own blur.
        flatten: share of the pictures whose contrast is drawn to a flat picture, by up to 40 %.
        ghost: share of the pictures with another one shining through, by up to 15 %.
        noise: the most noise, as standard deviation.
    """

    turn: float = 4.0
    scale: float = 0.03
    brightness: float = 0.12
    contrast: float = 0.15
    colour: float = 0.05
    soften: float = 0.35
    flatten: float = 0.2
    ghost: float = 0.1
    noise: float = 0.06

    def __call__(self, images_BHW3: NDArray[np.uint8], margin: int, draw: torch.Generator) -> Tensor:
        """Return (B, 3, S, S) float32 in [-1, 1].

        Args:
            images_BHW3: pictures with `margin` pixels around the view, which shifts use.
            margin: as said.
            draw: gives the random numbers.
        """
        size = images_BHW3.shape[1] - 2 * margin
        raw = torch.from_numpy(images_BHW3).permute(0, 3, 1, 2)
        if _uniform(draw, 1).item() < 0.5:
            at = self._shift(raw, margin, size, draw)
        else:
            at = self._warp(raw.to(torch.float32), margin, size, draw)
        at = torch.where(_uniform(draw, len(at), 1, 1, 1) < 0.5, at.flip(-1), at)
        return self._develop(at / 127.5 - 1, draw)

    def _shift(self, raw: Tensor, margin: int, size: int, draw: torch.Generator) -> Tensor:
        if not margin:
            return raw.to(torch.float32)
        # By groups: a shift of its own for each picture would cost as much as the network.
        out = torch.empty(len(raw), 3, size, size, dtype=torch.float32).contiguous(memory_format=torch.channels_last)
        for rows in torch.arange(len(raw)).chunk(8):
            y, x = torch.randint(0, 2 * margin + 1, (2,), generator=draw).tolist()
            out[rows] = raw[rows, :, y : y + size, x : x + size].to(torch.float32)
        return out

    def _warp(self, raw: Tensor, margin: int, size: int, draw: torch.Generator) -> Tensor:
        count, whole = len(raw), raw.shape[-1]
        angle = _normal(draw, count) * np.pi / 180 * self.turn
        zoom = size / whole * torch.exp(_normal(draw, count) * self.scale)
        place = (_uniform(draw, count, 2) * 2 - 1) * (2 * margin / whole)
        cos, sin = torch.cos(angle) * zoom, torch.sin(angle) * zoom
        matrix = torch.stack([torch.stack([cos, -sin, place[:, 0]], 1), torch.stack([sin, cos, place[:, 1]], 1)], 1)
        grid = F.affine_grid(matrix, [count, 3, size, size], align_corners=False)
        return F.grid_sample(raw, grid, padding_mode="border", align_corners=False)

    def _develop(self, at: Tensor, draw: torch.Generator) -> Tensor:
        count = len(at)

        def some(share: float, most: float) -> Tensor:
            chosen = _uniform(draw, count, 1, 1, 1) < share
            return torch.where(chosen, _uniform(draw, count, 1, 1, 1) * most, 0.0)

        softness = some(self.soften, 1.0)
        rows = softness.flatten().nonzero().flatten()
        if len(rows):
            blurred = F.avg_pool2d(F.pad(at[rows], (1, 1, 1, 1), mode="replicate"), 3, 1)
            at[rows] = torch.lerp(at[rows], blurred, softness[rows])
        ghost = some(self.ghost, 0.15)
        rows = ghost.flatten().nonzero().flatten()
        if len(rows):
            at[rows] = torch.lerp(at[rows], at[(rows + 1) % count], ghost[rows])
        mean = at.mean((1, 2, 3), keepdim=True)
        gain = torch.exp(_normal(draw, count, 1, 1, 1) * self.contrast) * (1 - some(self.flatten, 0.4))
        gain = gain * (1 + _normal(draw, count, 3, 1, 1) * self.colour)
        offset = mean + _normal(draw, count, 1, 1, 1) * self.brightness
        at = (at - mean) * gain + offset
        level = some(0.5, self.noise)
        rows = level.flatten().nonzero().flatten()
        if len(rows):
            at[rows] += level[rows] * torch.randn(at[rows].shape, generator=draw)
        return at.clamp_(-1, 1)


def _uniform(draw: torch.Generator, *shape: int) -> Tensor:
    return torch.rand(shape, generator=draw)


def _normal(draw: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(shape, generator=draw)


def to_signed(images_BHW3: NDArray[Any]) -> Tensor:
    """Return pictures (B, H, W, 3) uint8 as (B, 3, H, W) float32 in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(images_BHW3)).permute(0, 3, 1, 2).to(torch.float32) / 127.5 - 1
