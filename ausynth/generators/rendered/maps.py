"""What is known of a rendered picture beside its labels: landmarks, where the face is, and how far away.

Legend of the shapes: B pictures, H x W pixels, T triangles.
"""

from __future__ import annotations

import functools
import tomllib
from dataclasses import dataclass
from importlib import resources

import numpy as np
from numpy.typing import NDArray

from ausynth.errors import ConfigurationError
from ausynth.generators.rendered.head import Head
from ausynth.generators.rendered.kernels import Integers
from ausynth.labels import Floats, Labels

__all__ = ["Rendered", "face_triangles", "landmark_vertices"]


@dataclass(frozen=True, eq=False)
class Rendered:
    """Pictures and everything known of them.

    Attributes:
        images: (B, H, W, 3) uint8, red-green-blue: the same that `generate` gives.
        labels: the same that `generate` gives.
        landmarks: (B, 68, 2) float32, column and row of the landmarks of Sagonas et al., "300 Faces in-the-Wild
            Challenge" (ICCV Workshops 2013), in pixels; (0, 0) is the middle of the first pixel. Hidden ones too.
        mask: (B, H, W) bool, where the face is seen: bare or bearded skin from the hairline to the jaw, eyes and
            mouth; not the hair, the ears, or the neck.
        depth: (B, H, W) float32, distance from the camera along its axis in centimetres; infinite where nobody is;
            the portrait look knows the face's alone.
    """

    images: NDArray[np.uint8]
    labels: Labels
    landmarks: Floats
    mask: NDArray[np.bool_]
    depth: Floats


@functools.cache
def landmark_vertices() -> Integers:
    """Return (68,) the head's vertices that are the landmarks. Read-only.

    Source: assets/landmarks.toml, which scripts/place_landmarks.py makes.
    """
    file = resources.files("ausynth.generators.rendered").joinpath("assets/landmarks.toml")
    vertices: Integers = np.array(tomllib.loads(file.read_text("utf-8"))["vertices"], np.int32)
    if vertices.shape != (68,):
        raise ConfigurationError(f"{file} holds {len(vertices)} vertices", expected="68", do="install the package anew")
    vertices.flags.writeable = False
    return vertices


@functools.cache
def face_triangles(head: Head) -> NDArray[np.bool_]:
    """Return (T,) which of a head's triangles belong to the face: skin in front of the ears and above the jaw, and
    what lies in it. Hair may cover some of them. Read-only."""
    is_skin_T = head.materials == head.material("skin")
    corners_T33 = head.vertices[head.triangles]
    y_T, z_T = corners_T33[..., 1].min(1), corners_T33[..., 2].min(1)
    # The jaw's lower edge rises towards the ears.
    above_T = y_T > 61.4 + 0.42 * np.clip(12.5 - z_T, 0, 9)
    ear_T = head.masks["ears"][head.triangles].max(1) > 0.3
    mouth_T = head.masks["inside-mouth"][head.triangles].max(1) > 0.3
    chosen: NDArray[np.bool_] = ~is_skin_T | mouth_T | (above_T & (z_T > 3.5) & ~ear_T)
    chosen.flags.writeable = False
    return chosen
