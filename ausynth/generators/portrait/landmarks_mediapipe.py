"""Landmarks found by MediaPipe's face landmarker (an extra), turned into the 68 points of 300-W."""

from __future__ import annotations

from typing import Final

import numpy as np

from ausynth.generators.portrait.landmarks import Landmarks
from ausynth.labels import Floats

__all__ = ["POINTS_68", "from_mesh"]

POINTS_68: Final = (
    127, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 356,
    70, 63, 105, 66, 107, 336, 296, 334, 293, 300,
    168, 197, 5, 4, 75, 97, 2, 326, 305,
    33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380,
    61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181,
    78, 82, 13, 312, 308, 317, 14, 87,
)  # fmt: skip
"""Points of MediaPipe's face mesh nearest to the 68 of 300-W."""

_IRISES: Final = ((468, 469, 471), (473, 474, 476))
"""Middle, and the two ends of the horizontal diameter: the person's right, then left iris."""


def from_mesh(points_P2: Floats, scores: dict[str, float]) -> Landmarks:
    """Return the 68 landmarks among MediaPipe's 478 points (pixels)."""
    irises = [
        (*points_P2[middle], np.linalg.norm(points_P2[one] - points_P2[other]) / 2) for middle, one, other in _IRISES
    ]
    return Landmarks(points_P2[list(POINTS_68)].astype(np.float32), np.array(irises, np.float32), scores)
