"""Where the face is in a picture: landmarks, a mask, depth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ausynth.generators.portrait.draw import Drawing
from ausynth.generators.portrait.topology import Topology
from ausynth.labels import Floats

__all__ = ["Maps"]


@dataclass(frozen=True, eq=False)
class Maps:
    """`landmarks`, `mask` and `depth` of B pictures, as of `rendered.maps.Rendered`, to be filled in one by one."""

    landmarks: Floats
    mask: NDArray[np.bool_]
    depth: Floats

    def write(self, b: int, drawing: Drawing, topology: Topology, factor: int) -> None:
        """Fill in picture `b`, drawn at `factor` x `factor` points a pixel."""
        self.landmarks[b] = drawing.seen[topology.landmarks, :2] / np.float32(factor) - np.float32(0.5)
        # The point nearest to each pixel's centre stands for it: a mean of depths would lie between two surfaces.
        middle = slice(factor // 2, None, factor)
        triangle_HW, nearest_HW = drawing.triangle[middle, middle], drawing.nearest[middle, middle]
        cover_T = topology.cover[topology.triangles].mean(1)
        self.mask[b] = (triangle_HW >= 0) & (cover_T[np.maximum(triangle_HW, 0)] > 0.5)
        self.depth[b] = np.where(self.mask[b], 1 / np.maximum(nearest_HW, 1e-6), np.inf)

    @classmethod
    def empty(cls, count: int, size: int) -> Maps:
        """Return room for `count` pictures of `size` pixels."""
        return cls(
            landmarks=np.zeros((count, 68, 2), np.float32),
            mask=np.zeros((count, size, size), bool),
            depth=np.full((count, size, size), np.inf, np.float32),
        )
