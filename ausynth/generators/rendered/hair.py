"""Hair as a shell: the scalp, moved outward, and for long hair what hangs over the ears and the neck.

The mesh has no hair of its own. Where hair grows, the skin's vertices are moved out by its thickness and painted.
"""

from __future__ import annotations

import functools
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ausynth.generators.rendered import mesh
from ausynth.generators.rendered.head import Head
from ausynth.generators.rendered.identity import Traits
from ausynth.generators.rendered.kernels import Integers
from ausynth.labels import Floats

__all__ = ["grow_hair"]

# The hair's edge: (z, lowest y of the hair) from the nape over the ear and the temple to the forehead.
_HAIRLINE: Final = (
    (-8.0, 66.5), (1.5, 67.0), (2.6, 70.0), (3.4, 74.2), (6.4, 74.2), (6.9, 71.6), (7.9, 71.8), (8.6, 74.6),
    (10.0, 76.6), (12.0, 78.4), (14.0, 79.6), (17.0, 79.8),
)  # fmt: skip

# Long hair's front edge: (y, z) from the shoulders to the temple; it hangs behind this.
_CURTAIN: Final = ((56.0, 2.0), (60.0, 3.2), (64.0, 5.0), (68.0, 6.6), (74.0, 8.0), (78.0, 10.5), (82.0, 13.0))
_AXIS_Z: Final = 2.0  # the middle of the head, around which long hair hangs
_RADIUS: Final = 9.3


def grow_hair(head: Head, traits: Traits, vertices_V3: Floats) -> Floats:
    """Move the vertices out by the hair, in place, and return (V,) how far inside the hair's edge each is, in cm."""
    hair_V = _above_hairline(head) - traits.hair_line
    if traits.hair_grow > 0:
        grown_V = np.clip(hair_V / 2.5, 0, 1) * traits.hair_grow
        vertices_V3 += mesh.normals(vertices_V3, _skin(head)) * grown_V[:, None].astype(np.float32)
    if traits.hair_length > 0:
        share_V = _behind_curtain(head, traits.hair_length)
        _hang(vertices_V3, share_V, traits.hair_grow)
        hair_V = np.maximum(hair_V, (share_V - 0.15) * 4.0)
    return hair_V.astype(np.float32)


@functools.cache
def _skin(head: Head) -> Integers:
    triangles_T3: Integers = head.triangles[head.materials == head.material("skin")]
    return triangles_T3


@functools.cache
def _above_hairline(head: Head) -> NDArray[np.float64]:
    x, y, z = head.vertices.T
    hair_V = y - np.interp(z, *np.array(_HAIRLINE).T)
    # A widow's peak: lower in the middle than at the corners of the forehead.
    hair_V = hair_V - 0.5 * np.clip(1 - np.abs(np.abs(x) - 4.5) / 2.5, 0, 1) * (z > 9)
    return np.where(head.masks["ears"] > 0.3, -2, hair_V)


def _behind_curtain(head: Head, length: float) -> NDArray[np.float64]:
    """Return (V,) 0-1: which vertices long hair takes along; `length` is how far below the ears it ends, cm."""
    x, y, z = head.vertices.T
    behind_V = _step((np.interp(y, *np.array(_CURTAIN).T) - z) / 1.6 + 0.5)
    below_V = _step((y - (68 - length)) / 1.2)
    # The throat stays free: only what lies well to the side is hair in front of the axis.
    aside_V = np.where(z > _AXIS_Z - 1, _step((np.abs(x) - 3.2) / 1.5), 1.0)
    share_V = behind_V * below_V * aside_V
    share_V[head.vertices_of(*(name for name in head.material_names if name != "skin"))] = 0
    share_V[head.masks["inside-mouth"] > 0.02] = 0
    return share_V


def _hang(vertices_V3: Floats, share_V: NDArray[np.float64], thickness: float) -> None:
    x, y, z = vertices_V3.T.astype(np.float64)
    out_V = np.maximum(np.hypot(x, z - _AXIS_Z), 1e-6)
    # A little fuller in the middle, hugging the skull above.
    fullness_V = 0.6 * thickness - 0.02 * np.abs(y - 68) ** 1.3
    radius_V = np.where(y < 76, _RADIUS + fullness_V, 0)
    factor_V = 1 + share_V * (np.maximum(radius_V / out_V, 1) - 1)
    vertices_V3[:, 0] = x * factor_V
    vertices_V3[:, 2] = _AXIS_Z + (z - _AXIS_Z) * factor_V


def _step(value: NDArray[np.float64]) -> NDArray[np.float64]:
    value = np.clip(value, 0, 1)
    return value * value * (3 - 2 * value)
