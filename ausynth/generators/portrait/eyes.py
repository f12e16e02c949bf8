"""The eyes: turning the gaze, and keeping the lids outside the eyeballs."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from ausynth.generators.portrait.kernels import Integers, Real, kernel
from ausynth.generators.rendered.camera import rotation
from ausynth.labels import Floats

__all__ = ["LID_RADII", "settle_lids", "turn_eyes"]

LID_RADII: Final = 1.02
"""How far from the eyeball's middle the lids stay, in radii of the eyeball."""


def settle_lids(vertices_V3: Floats, lids: tuple[NDArray[np.int32], ...], balls_24: Floats) -> None:
    """Push the lids out of the eyeballs, in place."""
    for own, ball_4 in zip(lids, balls_24, strict=True):
        _settle(vertices_V3, own, ball_4, np.float32(LID_RADII))


def turn_eyes(
    vertices_V3: Floats, balls: tuple[NDArray[np.int32], ...], balls_24: Floats, gaze: tuple[float, float]
) -> None:
    """Turn the eyeballs in the head by (yaw, pitch) degrees, in place."""
    if gaze == (0.0, 0.0):
        return
    turn_33 = rotation(*gaze)
    for own, ball_4 in zip(balls, balls_24, strict=True):
        vertices_V3[own] = ball_4[:3] + (vertices_V3[own] - ball_4[:3]) @ turn_33.T


@kernel
def _settle(vertices_V3: Floats, lids: Integers, ball_4: Floats, radii: Real) -> None:
    least = radii * ball_4[3]
    for i in lids:
        x, y, z = vertices_V3[i, 0] - ball_4[0], vertices_V3[i, 1] - ball_4[1], vertices_V3[i, 2] - ball_4[2]
        distance = np.sqrt(x * x + y * y + z * z)
        if z > 0 and 0 < distance < least:
            for j in range(3):
                vertices_V3[i, j] = ball_4[j] + (vertices_V3[i, j] - ball_4[j]) * least / distance
