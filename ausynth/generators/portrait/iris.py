"""The colour of a person's irises, measured in the photograph."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from ausynth.generators.portrait.landmarks import LEFT_EYE, RIGHT_EYE, Landmarks
from ausynth.labels import Floats

__all__ = ["iris_colour"]

Pixels = NDArray[np.uint8]

_RING: Final = (0.45, 0.85)
"""Between pupil and limbus, as a share of the iris' radius."""

_BROWN: Final = (78, 54, 40)


def iris_colour(photo_HW3: Pixels, landmarks: Landmarks) -> Pixels:
    """Return the (3,) uint8 sRGB colour between pupil and limbus, below the upper lid and without the glint.

    A dark brown where too little of the irises is seen.
    """
    import cv2

    height, width = photo_HW3.shape[:2]
    down, across = np.mgrid[:height, :width] + 0.5
    ring = np.zeros((height, width), bool)
    for (column, row, radius), eye in zip(_irises(landmarks), (RIGHT_EYE, LEFT_EYE), strict=True):
        lids = np.zeros((height, width), np.uint8)
        cv2.fillPoly(lids, [np.rint(landmarks.points[eye] * 16 - 8).astype(np.int32)], 1, cv2.LINE_8, 4)
        away = np.hypot(across - column, down - row) / max(radius, 1e-3)
        # The upper lid and its lashes shade the upper third.
        ring |= (away > _RING[0]) & (away < _RING[1]) & (lids > 0) & (down > row - 0.35 * radius)
    colours = photo_HW3[ring]
    if len(colours) < 6:
        return np.array(_BROWN, np.uint8)
    light = colours.astype(np.float32).mean(1)
    low, high = np.percentile(light, (20, 75))
    return np.asarray(np.rint(np.median(colours[(light >= low) & (light <= high)], axis=0)), np.uint8)


def _irises(landmarks: Landmarks) -> Floats:
    """Return (2, 3) column, row and radius; without landmarks of their own, from the lids: an iris is .42 of an eye."""
    if landmarks.irises is not None:
        return landmarks.irises
    found = []
    for eye in (RIGHT_EYE, LEFT_EYE):
        points = landmarks.points[eye]
        width = float(np.linalg.norm(points[3] - points[0]))
        found.append((*points.mean(0), 0.21 * width))
    return np.array(found, np.float32)
