"""Arithmetic on the mesh: adding changes of shape, normals, turning the head. Compiled, free of the GIL."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ausynth.generators.rendered.kernels import Integers, kernel
from ausynth.generators.rendered.raster import HIDDEN
from ausynth.labels import Floats

__all__ = ["add_shapes", "normals", "pose", "shown_normals"]

_HIDDEN = HIDDEN


@kernel
def add_shapes(vertices_V3: Floats, weights_S: Floats, starts_S: Integers, rows_N: Integers, deltas_N3: Floats) -> None:
    """Add weighted changes of shape to `vertices_V3` in place; a weight of 0 leaves every bit alone."""
    for s in range(len(weights_S)):
        weight = weights_S[s]
        if weight != 0:
            for n in range(starts_S[s], starts_S[s + 1]):
                row = rows_N[n]
                vertices_V3[row, 0] += weight * deltas_N3[n, 0]
                vertices_V3[row, 1] += weight * deltas_N3[n, 1]
                vertices_V3[row, 2] += weight * deltas_N3[n, 2]


@kernel
def shown_normals(vertices_V3: Floats, triangles_T3: Integers, rules_T: NDArray[np.uint8]) -> Floats:
    """Return (V, 3) unit vertex normals, weighted by area; triangles whose rule is `raster.HIDDEN` do not count."""
    normals_V3 = np.zeros_like(vertices_V3)
    for t in range(len(triangles_T3)):
        if rules_T[t] == _HIDDEN:
            continue
        a, b, c = triangles_T3[t, 0], triangles_T3[t, 1], triangles_T3[t, 2]
        ux, uy, uz = (
            vertices_V3[b, 0] - vertices_V3[a, 0],
            vertices_V3[b, 1] - vertices_V3[a, 1],
            vertices_V3[b, 2] - vertices_V3[a, 2],
        )
        vx, vy, vz = (
            vertices_V3[c, 0] - vertices_V3[a, 0],
            vertices_V3[c, 1] - vertices_V3[a, 1],
            vertices_V3[c, 2] - vertices_V3[a, 2],
        )
        nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        for i in (a, b, c):
            normals_V3[i, 0] += nx
            normals_V3[i, 1] += ny
            normals_V3[i, 2] += nz
    for i in range(len(normals_V3)):
        length = np.sqrt(normals_V3[i, 0] ** 2 + normals_V3[i, 1] ** 2 + normals_V3[i, 2] ** 2)
        if length > 0:
            for j in range(3):
                normals_V3[i, j] /= length
    return normals_V3


@kernel
def normals(vertices_V3: Floats, triangles_T3: Integers) -> Floats:
    """Return (V, 3) unit vertex normals, weighted by area."""
    return shown_normals(vertices_V3, triangles_T3, np.zeros(len(triangles_T3), np.uint8))


@kernel
def pose(vertices_V3: Floats, rotation_33: Floats, pivot_3: Floats, share_V: Floats) -> Floats:
    """Return the vertices turned about `pivot_3`, each by its share: 1 the head, 0 the trunk, between them the neck."""
    posed_V3 = np.empty_like(vertices_V3)
    for i in range(len(vertices_V3)):
        x, y, z = (vertices_V3[i, 0] - pivot_3[0], vertices_V3[i, 1] - pivot_3[1], vertices_V3[i, 2] - pivot_3[2])
        for j in range(3):
            turned = rotation_33[j, 0] * x + rotation_33[j, 1] * y + rotation_33[j, 2] * z + pivot_3[j]
            posed_V3[i, j] = vertices_V3[i, j] + share_V[i] * (turned - vertices_V3[i, j])
    return posed_V3
