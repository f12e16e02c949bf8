"""Where the face is in a picture: landmarks, a mask, depth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ausynth.generators.portrait.draw import Drawing
from ausynth.generators.portrait.topology import Topology
from ausynth.labels import Floats

__all__ = ["Maps", "empty_maps"]


@dataclass(frozen=True, eq=False)
class Maps:
    """What is known of B pictures beside their labels.

    Attributes:
        landmarks: (B, 68, 2) float32: column and row in pixels of the 68 facial landmarks of 300-W; the picture's upper
            left corner is (0, 0), pixel centres lie at one half. Some may lie outside the picture, or be hidden.
        mask: (B, H, W) bool: where the face is seen: skin, eyes, mouth; not ears, neck and hair.
        depth: (B, H, W) float32: centimetres from the camera to the face, NaN where there is none.
    """

    landmarks: Floats
    mask: NDArray[np.bool_]
    depth: Floats

    def write(self, b: int, drawing: Drawing, topology: Topology, factor: int) -> None:
        """Fill in picture `b`, drawn at `factor` x `factor` points a pixel."""
        self.landmarks[b] = drawing.seen[topology.landmarks, :2] / np.float32(factor)
        # The point nearest to each pixel's centre stands for it: a mean of depths would lie between two surfaces.
        middle = slice(factor // 2, None, factor)
        triangle_HW, nearest_HW = drawing.triangle[middle, middle], drawing.nearest[middle, middle]
        cover_T = topology.cover[topology.triangles].mean(1)
        self.mask[b] = (triangle_HW >= 0) & (cover_T[np.maximum(triangle_HW, 0)] > 0.5)
        self.depth[b] = np.where(self.mask[b], 1 / np.maximum(nearest_HW, 1e-6), np.nan)


def empty_maps(count: int, size: int) -> Maps:
    """Return maps of `count` pictures of `size` pixels, to be filled in."""
    return Maps(
        landmarks=np.zeros((count, 68, 2), np.float32),
        mask=np.zeros((count, size, size), bool),
        depth=np.full((count, size, size), np.nan, np.float32),
    )
