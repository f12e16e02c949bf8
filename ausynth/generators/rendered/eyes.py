"""The eyes: turning the gaze, and keeping the lids outside the eyeballs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from ausynth.generators.rendered.head import Head
from ausynth.generators.rendered.kernels import Integers, Real, kernel
from ausynth.labels import Floats

__all__ = ["LID_RADII", "Eyes"]

LID_RADII: Final = 1.02
"""How far from the eyeball's middle the lids stay, in radii of the eyeball."""


@dataclass(frozen=True, eq=False)
class Eyes:
    """Which vertices make the eyeballs and what lies around them.

    Attributes:
        balls: the vertices of the left and of the right eyeball.
        lids: the vertices of skin and lashes that may touch the left or the right eyeball.
    """

    balls: tuple[Integers, Integers]
    lids: tuple[Integers, Integers]

    @classmethod
    def of(cls, head: Head) -> Eyes:
        """Return the eyes of a head."""
        balls, lids = [], []
        soft = head.vertices_of("skin", "lashes")
        for name in ("eye_left", "eye_right"):
            ball = head.vertices_of(name)
            middle_3 = head.vertices[ball].mean(0)
            offset_N3 = head.vertices[soft] - middle_3
            radius = np.sqrt(((head.vertices[ball] - middle_3) ** 2).sum(1)).mean()
            near_N = (np.sqrt((offset_N3**2).sum(1)) < 1.6 * radius) & (offset_N3[:, 2] > 0)
            balls.append(ball)
            lids.append(soft[near_N])
        return cls((balls[0], balls[1]), (lids[0], lids[1]))

    def turn(self, vertices_V3: Floats, gaze_33: Floats) -> None:
        """Turn the eyeballs in the head, in place."""
        for ball in self.balls:
            middle_3 = vertices_V3[ball].mean(0)
            vertices_V3[ball] = middle_3 + (vertices_V3[ball] - middle_3) @ gaze_33.T

    def settle(self, vertices_V3: Floats) -> None:
        """Push the lids out of the eyeballs, in place."""
        for ball, lids in zip(self.balls, self.lids, strict=True):
            _settle(vertices_V3, ball, lids, np.float32(LID_RADII))

    def middles(self, vertices_V3: Floats) -> Floats:
        """Return (2, 3) the middles of the left and right eyeball."""
        return np.stack([vertices_V3[ball].mean(0) for ball in self.balls])


@kernel
def _settle(vertices_V3: Floats, ball: Integers, lids: Integers, radii: Real) -> None:
    middle_3 = np.zeros(3, np.float32)
    for i in ball:
        for j in range(3):
            middle_3[j] += vertices_V3[i, j] / len(ball)
    radius = np.float32(0)
    for i in ball:
        x, y, z = vertices_V3[i, 0] - middle_3[0], vertices_V3[i, 1] - middle_3[1], vertices_V3[i, 2] - middle_3[2]
        radius = max(radius, np.sqrt(x * x + y * y + z * z))
    for i in lids:
        x, y, z = vertices_V3[i, 0] - middle_3[0], vertices_V3[i, 1] - middle_3[1], vertices_V3[i, 2] - middle_3[2]
        distance = np.sqrt(x * x + y * y + z * z)
        if z > 0 and 0 < distance < radii * radius:
            for j in range(3):
                vertices_V3[i, j] = middle_3[j] + (vertices_V3[i, j] - middle_3[j]) * radii * radius / distance
