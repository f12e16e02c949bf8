"""Where B heads look and their cameras stand: `rendered.camera.Camera.view` for all at once."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ausynth.generators.portrait.batched.draws import streams
from ausynth.generators.rendered.camera import Camera

__all__ = ["Views", "blinks", "draw_views"]

Numbers = NDArray[np.float64]


class Views(NamedTuple):
    """The views of B pictures, as `rendered.camera.View`.

    Attributes:
        angles: (B, 3) yaw, pitch and roll in degrees.
        distance: (B,) centimetres.
        shift: (B, 2).
        zoom: (B,).
        gaze: (B, 2) degrees.
    """

    angles: Numbers
    distance: Numbers
    shift: Numbers
    zoom: Numbers
    gaze: Numbers


def draw_views(camera: Camera, noise_B: NDArray[np.int64]) -> Views:
    """Return the views for noise seeds."""
    drawn = [(*draw.standard_normal(8), draw.random()) for draw in streams("pose", noise_B)]
    numbers_B9 = np.array(drawn, np.float64).reshape(-1, 9)
    normal_B8, share_B = np.clip(numbers_B9[:, :8], -2, 2), numbers_B9[:, 8]
    near, far = camera.distance
    angles_B3 = normal_B8[:, :3] * np.array([camera.yaw, camera.pitch, camera.roll])
    angles_B3[:, 0] = np.clip(angles_B3[:, 0], -20, 20)
    return Views(
        angles=angles_B3,
        distance=near * (far / near) ** share_B,
        shift=normal_B8[:, 3:5] * camera.jitter,
        zoom=np.exp(normal_B8[:, 5] * camera.jitter),
        gaze=normal_B8[:, 6:8] * np.array([camera.gaze, camera.gaze / 2]),
    )


def blinks(share: float, noise_B: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return (B,) 1 where the eyes are shut: in `share` of all pictures."""
    if not share:
        return np.zeros(len(noise_B), np.float32)
    return np.array([draw.random() < share for draw in streams("gaze", noise_B)], np.float32)
