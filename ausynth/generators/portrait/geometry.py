"""Arithmetic on meshes: normals, and where a camera sees vertices. Compiled, free of the GIL."""

from __future__ import annotations

import numpy as np

from ausynth.generators.portrait.kernels import Integers, Real, kernel
from ausynth.labels import Floats

__all__ = ["normals", "project"]


@kernel
def normals(vertices_V3: Floats, triangles_T3: Integers) -> Floats:
    """Return (V, 3) unit vertex normals, weighted by area; 0 where no triangle is."""
    normals_V3 = np.zeros_like(vertices_V3)
    for t in range(len(triangles_T3)):
        a, b, c = triangles_T3[t, 0], triangles_T3[t, 1], triangles_T3[t, 2]
        ux, uy = vertices_V3[b, 0] - vertices_V3[a, 0], vertices_V3[b, 1] - vertices_V3[a, 1]
        uz = vertices_V3[b, 2] - vertices_V3[a, 2]
        vx, vy = vertices_V3[c, 0] - vertices_V3[a, 0], vertices_V3[c, 1] - vertices_V3[a, 1]
        vz = vertices_V3[c, 2] - vertices_V3[a, 2]
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
def project(vertices_V3: Floats, target_3: Floats, distance: Real, scale: Real, middle_2: Floats) -> Floats:
    """Return (V, 3): column, row and nearness (1 / depth, 1/cm) of each vertex.

    The camera stands `distance` cm in front of `target_3`, which falls on `middle_2` (column, row); `scale` is
    pixels per cm there.
    """
    seen_V3 = np.empty_like(vertices_V3)
    for i in range(len(vertices_V3)):
        depth = distance - (vertices_V3[i, 2] - target_3[2])
        size = scale * distance / depth
        seen_V3[i, 0] = middle_2[0] + (vertices_V3[i, 0] - target_3[0]) * size
        seen_V3[i, 1] = middle_2[1] - (vertices_V3[i, 1] - target_3[1]) * size
        seen_V3[i, 2] = np.float32(1) / depth
    return seen_V3
