"""What makes a person of the head, and where the photograph's camera stood: the numbers that a fit finds.

Legend of the shapes: V vertices of the head, M identity modes, K knots of the warp, N points.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from ausynth.generators.portrait.ict import EYES, IctHead
from ausynth.labels import Floats

__all__ = ["PersonShape", "PhotoCamera", "thin_plate"]

_RIGID: Final = ("gums", "teeth")

_LIDS: Final = ((43, 44, 45, 46, 47), (36, 37, 38, 40, 41))
"""Landmarks at the edges of the left and right eye's lids, without the inner corner, which lies before the eyeball."""

_LIDS_AT: Final = 1.03
"""Mean distance of the lids' edges from the eyeball's middle, in its radii."""


@dataclass(frozen=True, eq=False)
class PersonShape:
    """A person: weights of the head's identity modes, then a thin-plate spline that moves what they leave over.

    Attributes:
        weights: (M,) float32, in standard deviations.
        knots: (K, 2) float32, x and y in centimetres of the head that the weights make.
        pull: (K + 3, 2) float32, the spline's coefficients: of each knot, then of 1, x and y.
    """

    weights: Floats
    knots: Floats
    pull: Floats

    def arrays(self) -> dict[str, Floats]:
        """Return the numbers by name, as `from_arrays` takes them."""
        return {"weights": self.weights, "knots": self.knots, "pull": self.pull}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Any]) -> PersonShape:
        """Return the shape that `arrays` was made from; raise KeyError or ValueError where it is none."""
        weights, knots, pull = (np.asarray(arrays[name], np.float32) for name in ("weights", "knots", "pull"))
        if weights.ndim != 1 or knots.shape[1:] != (2,) or pull.shape != (len(knots) + 3, 2):
            raise ValueError(f"a shape of {weights.shape}, {knots.shape}, {pull.shape}")
        return cls(weights, knots, pull)

    @classmethod
    def mean(cls) -> PersonShape:
        """Return the mean head's shape."""
        return cls(np.zeros(0, np.float32), np.zeros((0, 2), np.float32), np.zeros((3, 2), np.float32))

    def vertices(self, head: IctHead) -> Floats:
        """Return the (V, 3) float32 neutral head of this person.

        The spline moves the front of the head in x and y. Eyeballs stay balls, and jaws keep their teeth: each moves as
        a whole, eyeballs as far back as leaves the lids before them: an eyeball that stood out between the lids would
        look wider open than the photographed eye.
        """
        shaped_V3 = head.person(self.weights)
        moved_V2 = thin_plate(shaped_V3[:, :2], self.knots, self.pull)
        # Behind the ears nothing was seen of the person.
        moved_V2 *= _smoothstep(head.vertices[:, 2], -4, 2)[:, None]
        mouth = head.vertices_of(*_RIGID)
        # The jaws hang behind the lips, and follow them.
        lips = head.landmarks[48:68]
        moved_V2[mouth] = moved_V2[lips].mean(0)
        for eye, ball_4 in zip(EYES, head.eyes, strict=True):
            own = head.vertices_of(eye)
            shift_3 = (shaped_V3[own] - head.vertices[own]).mean(0)
            # The ball's middle lies behind what is left of it: a spread of sizes is the ball's own.
            spread = np.linalg.norm(shaped_V3[own] - shaped_V3[own].mean(0), axis=1).mean()
            size = spread / np.linalg.norm(head.vertices[own] - head.vertices[own].mean(0), axis=1).mean()
            shaped_V3[own] = ball_4[:3] + shift_3 + (head.vertices[own] - ball_4[:3]) * size
            moved_V2[own] = moved_V2[own].mean(0)
        shaped_V3[:, :2] += moved_V2
        for eye, ball_4, lids in zip(EYES, head.eyes, _LIDS, strict=True):
            own = head.vertices_of(eye)
            middle_3 = ball_4[:3] + (shaped_V3[own] - head.vertices[own]).mean(0)
            radius = float(np.linalg.norm(shaped_V3[own] - middle_3, axis=1).mean())
            shaped_V3[own, 2] -= _set_back(shaped_V3[head.landmarks[list(lids)]], middle_3, radius)
        return shaped_V3


@dataclass(frozen=True, eq=False)
class PhotoCamera:
    """A pinhole camera that looks at the head as the photograph's did.

    The head is turned about the origin of its axes, which lies `distance` from the camera.

    Attributes:
        rotation: (3, 3) float32 from the head's axes to the picture's (x to the right, y up, z to the viewer).
        scale: pixels a centimetre at the depth of the origin.
        middle: (column, row) of the origin; pixel centres lie at one half.
        distance: centimetres from the camera to the origin.
    """

    rotation: Floats
    scale: float
    middle: tuple[float, float]
    distance: float

    def turn(self, vectors_N3: Floats) -> Floats:
        """Return points or normals in the picture's axes."""
        return np.asarray(vectors_N3, np.float32) @ self.rotation.T

    def project(self, points_N3: Floats) -> Floats:
        """Return (N, 3) float32: column, row and nearness (1 / depth, 1/cm) of points in the head's axes."""
        x, y, z = self.turn(points_N3).T
        depth = self.distance - z
        size = self.scale * self.distance / depth
        seen = [self.middle[0] + x * size, self.middle[1] - y * size, 1 / depth]
        return np.stack(seen, axis=1).astype(np.float32)

    def resized(self, factor: float, shift: tuple[float, float] = (0.0, 0.0)) -> PhotoCamera:
        """Return the camera of a picture enlarged by `factor`, then moved by `shift` (columns, rows)."""
        middle = (self.middle[0] * factor + shift[0], self.middle[1] * factor + shift[1])
        return PhotoCamera(self.rotation, self.scale * factor, middle, self.distance)

    def arrays(self) -> dict[str, Floats]:
        """Return the numbers by name, as `from_arrays` takes them."""
        return {
            "rotation": self.rotation.astype(np.float32),
            "lens": np.array([self.scale, *self.middle, self.distance], np.float32),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Any]) -> PhotoCamera:
        """Return the camera that `arrays` was made from; raise KeyError or ValueError where it is none."""
        scale, column, row, distance = (float(value) for value in arrays["lens"])
        rotation_33 = np.asarray(arrays["rotation"], np.float32)
        if rotation_33.shape != (3, 3):
            raise ValueError(f"a rotation of {rotation_33.shape}")
        return cls(rotation_33, scale, (column, row), distance)


def thin_plate(points_N2: Floats, knots_K2: Floats, pull_K2: Floats) -> Floats:
    """Return (N, 2) float32: how a thin-plate spline (Bookstein, 1989) moves points; see `PersonShape`."""
    points_N2, moved = np.asarray(points_N2, np.float32), np.zeros((len(points_N2), 2), np.float32)
    for knot_2, pull_2 in zip(knots_K2, pull_K2, strict=False):
        square_N = ((points_N2 - knot_2) ** 2).sum(1)
        moved += (square_N * np.log(np.maximum(square_N, 1e-12)))[:, None] * pull_2
    return np.asarray(moved + pull_K2[-3] + points_N2 @ pull_K2[-2:], np.float32)


def _set_back(lids_L3: Floats, middle_3: Floats, radius: float) -> float:
    """Return how far (cm) an eyeball has to go back until its lids lie about it: 0 where they do already."""
    low, high = 0.0, 0.5 * radius
    away_L3 = lids_L3 - middle_3

    def reach(back: float) -> float:
        return float(np.linalg.norm(away_L3 + np.array([0, 0, back], np.float32), axis=1).mean())

    if reach(low) >= _LIDS_AT * radius:
        return low
    for _ in range(12):
        back = (low + high) / 2
        low, high = (low, back) if reach(back) >= _LIDS_AT * radius else (back, high)
    return high


def _smoothstep(value: Floats, low: float, high: float) -> Floats:
    share = np.clip((value - low) / (high - low), 0, 1)
    return np.asarray(share * share * (3 - 2 * share), np.float32)
