"""The look of a person's eyes, taken from the photograph and completed where the lids hid them.

Legend of the shapes: P points along either side of an eye's map.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from ausynth.generators.portrait.bank import BankFace, harmonics
from ausynth.generators.portrait.light import BRIGHTEST, DARKEST
from ausynth.generators.portrait.pixels import LINEAR, blurred
from ausynth.generators.portrait.raster import clear, rasterise
from ausynth.generators.portrait.topology import EYE, Topology
from ausynth.labels import Floats

__all__ = ["EXTENT", "POINTS", "eye_maps"]

POINTS: Final = 64
EXTENT: Final = 0.85
"""A map reaches this far from the pupil to all sides, in radii of the eyeball."""

_IRIS: Final = 0.41  # radii of the eyeball
_SEARCHED: Final = 0.22
_RINGS: Final = 28
_FINE: Final = 4


def eye_maps(face: BankFace, topology: Topology, iris_3: Floats) -> Floats:
    """Return (2, P, P, 3) linear colours of the left and of the right eyeball without light, the pupil in the middle.

    Column and row stand for x and -y of the direction from the eyeball's middle, from -`EXTENT` to `EXTENT`. Where the
    lids were in the way, the colour that the eye shows elsewhere at the same distance from the pupil is taken.
    """
    own_V3 = face.neutral[topology.source]
    seen = _seen(face, topology, own_V3)
    light = LINEAR[face.photo]
    front_9 = harmonics(np.array([[0.0, 0.0, 1.0]], np.float32))[0]
    light_3 = np.clip(front_9 @ face.light, DARKEST, BRIGHTEST)
    maps = []
    for own, mean_4 in zip(topology.balls, topology.ball_middle, strict=True):
        ball = own_V3[own]
        rest_3 = topology.rest[own].mean(0)
        size = (
            np.linalg.norm(ball - ball.mean(0), axis=1).mean()
            / np.linalg.norm(topology.rest[own] - rest_3, axis=1).mean()
        )
        middle_3, radius = ball.mean(0) + (mean_4[:3] - rest_3) * size, mean_4[3] * size
        pupil_2 = np.zeros(2, np.float32)
        for _ in range(2):  # where the pupil is, then the map around it
            colours, known = _look(face, light, seen, middle_3, radius, pupil_2)
            pupil_2 = pupil_2 + _offset(colours, known)
        colours, known = _look(face, light, seen, middle_3, radius, pupil_2)
        maps.append(_completed(colours / light_3, known, iris_3))
    return np.stack(maps).astype(np.float32)


def _seen(face: BankFace, topology: Topology, own_V3: Floats) -> Floats:
    """Return (4H, 4W) 0-1: where the photograph shows an eyeball, well inside the lids."""
    height, width = face.photo.shape[:2]
    seen_V3 = face.camera.project(own_V3) * np.array([_FINE, _FINE, 1], np.float32)
    shape = (height * _FINE, width * _FINE)
    nearest, triangle = np.zeros(shape, np.float32), np.zeros(shape, np.int32)
    clear(nearest, triangle)
    box = np.array([0, shape[1] - 1, 0, shape[0] - 1], np.int32)
    weights = np.zeros((*shape, 2), np.float32)
    rasterise(seen_V3.astype(np.float32), topology.triangles, 0, topology.outer, box, nearest, triangle, weights)
    is_eye = (triangle >= 0) & (topology.kinds[np.maximum(triangle, 0)] == EYE)
    # Lashes and the lids' shadow lie along the edge, thicker above.
    core = np.asarray(cv2.erode(is_eye.astype(np.uint8), np.ones((5, 3), np.uint8)), np.uint8)
    lower = np.roll(np.asarray(cv2.erode(core, np.ones((5, 1), np.uint8)), np.uint8), 2, axis=0)
    return blurred(core & lower, 1.0)


def _grid() -> tuple[Floats, Floats]:
    along = ((np.arange(POINTS) + 0.5) / POINTS * 2 - 1) * EXTENT
    x, y = np.meshgrid(along, -along)
    return x.astype(np.float32), y.astype(np.float32)


def _look(  # noqa: PLR0917
    face: BankFace, light: Floats, seen: Floats, middle_3: Floats, radius: float, pupil_2: Floats
) -> tuple[Floats, Floats]:
    x, y = _grid()
    x, y = x + pupil_2[0], y + pupil_2[1]
    z = np.sqrt(np.maximum(1 - x * x - y * y, 1e-3))
    points = middle_3 + radius * np.stack([x, y, z], axis=-1).reshape(-1, 3)
    at = face.camera.project(points.astype(np.float32))[:, :2].reshape(POINTS, POINTS, 2)
    maps = [at[..., i] * scale - np.float32(0.5) for scale in (1, _FINE) for i in (0, 1)]
    colours = np.asarray(
        cv2.remap(light, maps[0], maps[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.float32
    )
    known = np.asarray(cv2.remap(seen, maps[2], maps[3], cv2.INTER_LINEAR), np.float32)
    known[x * x + y * y > 0.9] = 0
    return colours, known


def _offset(colours: Floats, known: Floats) -> Floats:
    """Return how far the iris lies from the map's middle: the disc that is darkest beside the ring around it."""
    x, y = (part[::2, ::2] for part in _grid())
    colours, known = colours[::2, ::2], known[::2, ::2]
    brightness = colours @ np.array([0.3, 0.6, 0.1], np.float32)
    brightness = np.minimum(brightness, np.quantile(brightness[known > 0.5], 0.95) if (known > 0.5).any() else 1)
    best, found = np.inf, np.zeros(2, np.float32)
    for dy in np.linspace(-_SEARCHED, _SEARCHED, 12):
        for dx in np.linspace(-_SEARCHED, _SEARCHED, 12):
            away = np.hypot(x - dx, y - dy)
            inner, outer = known * (away < 0.9 * _IRIS), known * ((away > 1.15 * _IRIS) & (away < 1.7 * _IRIS))
            if inner.sum() < 5 or outer.sum() < 5:
                continue
            contrast = (brightness * inner).sum() / inner.sum() - (brightness * outer).sum() / outer.sum()
            # Nearly straight ahead is what a person does who looks into the camera.
            score = contrast + 0.25 * (dx * dx + dy * dy)
            if score < best:
                best, found = score, np.array([dx, dy], np.float32)
    return found


def _completed(colours: Floats, known: Floats, iris_3: Floats) -> Floats:
    """Return the map with what was hidden filled in, ring by ring around the pupil."""
    x, y = _grid()
    radius = np.hypot(x, y)
    ring = np.minimum((radius / EXTENT * _RINGS).astype(int), _RINGS - 1)
    profile = np.full((_RINGS, 3), np.nan, np.float32)
    for r in range(_RINGS):
        inside = (ring == r) & (known > 0.6)
        if inside.sum() >= 3:
            profile[r] = np.median(colours[inside], axis=0)
    middle = (np.arange(_RINGS) + 0.5) / _RINGS * EXTENT
    fallback = _painted(middle, iris_3)
    whites = profile[middle > 1.15 * _IRIS]
    white = np.nanmedian(whites, axis=0) if np.isfinite(whites).any() else fallback[-1]
    for r in range(_RINGS):
        if not np.isfinite(profile[r]).all():
            profile[r] = white if middle[r] > _IRIS else fallback[r]
    padded = np.concatenate([profile[:1], profile, profile[-1:]])
    profile = (padded[:-2] + 2.0 * profile + padded[2:]) / 4
    place = np.clip(radius / EXTENT * _RINGS - 0.5, 0, _RINGS - 1)
    low = np.minimum(place.astype(int), _RINGS - 2)
    share = (place - low)[..., None]
    filled = profile[low] * (1 - share) + profile[low + 1] * share
    # The white's own light and dark parts are the photograph's shadows: its colour is evened out.
    weight = np.clip((known - 0.3) / 0.6, 0, 1)[..., None]
    return np.asarray(np.clip(filled + weight * (colours - filled), 0.004, 0.9), np.float32)


def _painted(radius: NDArray[np.floating], iris_3: Floats) -> Floats:
    share = radius[:, None] / _IRIS
    colour = iris_3 * (1 - 0.6 * np.clip((share - 0.66) / 0.34, 0, 1))
    colour = np.where(share < 0.42, 0.012, colour)
    return np.where(share > 1, np.array([0.36, 0.33, 0.31]), colour).astype(np.float32)
