"""Which triangle is seen at each point of the picture: a z-buffer. Compiled, free of the GIL."""

from __future__ import annotations

import numpy as np

from ausynth.generators.rendered.kernels import Integers, Real, kernel
from ausynth.labels import Floats

__all__ = ["project", "rasterise"]


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


@kernel
def rasterise(seen_V3: Floats, triangles_T3: Integers, share_T: Floats, comb_V: Floats, size: int):  # type: ignore[no-untyped-def]
    """Return (size, size) triangle numbers, -1 where there is none, and (size, size, 2) weights of corners 1 and 2.

    A triangle whose `share_T` is below 1 is seen from both sides, and through: of each unit of `comb_V` only that share
    is there. 0 leaves a triangle out.
    """
    nearest_HW = np.zeros((size, size), np.float32)
    triangle_HW = np.full((size, size), -1, np.int32)
    weights_HW2 = np.empty((size, size, 2), np.float32)
    half = np.float32(0.5)
    for t in range(len(triangles_T3)):
        if share_T[t] == 0:
            continue
        a, b, c = triangles_T3[t, 0], triangles_T3[t, 1], triangles_T3[t, 2]
        xa, ya, xb, yb, xc, yc = (
            seen_V3[a, 0], seen_V3[a, 1], seen_V3[b, 0], seen_V3[b, 1], seen_V3[c, 0], seen_V3[c, 1],
        )  # fmt: skip
        # Rows grow downward, so what is counterclockwise to the viewer has a negative area here.
        area = (xb - xa) * (yc - ya) - (xc - xa) * (yb - ya)
        if area == 0 or (area > 0 and share_T[t] >= 1):
            continue
        left, right = max(0, int(np.ceil(min(xa, xb, xc) - half))), min(size - 1, int(np.floor(max(xa, xb, xc) - half)))
        top, bottom = max(0, int(np.ceil(min(ya, yb, yc) - half))), min(size - 1, int(np.floor(max(ya, yb, yc) - half)))
        if left > right or top > bottom:
            continue
        inverse = np.float32(1) / area
        za, zb, zc = seen_V3[a, 2], seen_V3[b, 2], seen_V3[c, 2]
        db_x, db_y = (yc - ya) * inverse, -(xc - xa) * inverse
        dc_x, dc_y = -(yb - ya) * inverse, (xb - xa) * inverse
        for row in range(top, bottom + 1):
            y = np.float32(row) + half - ya
            for column in range(left, right + 1):
                x = np.float32(column) + half - xa
                wb = db_x * x + db_y * y
                wc = dc_x * x + dc_y * y
                wa = np.float32(1) - wb - wc
                # A hair's breadth of tolerance: no cracks between neighbours.
                if wa < -1e-5 or wb < -1e-5 or wc < -1e-5:
                    continue
                z = wa * za + wb * zb + wc * zc
                if z > nearest_HW[row, column]:
                    if share_T[t] < 1:
                        comb = wa * comb_V[a] + wb * comb_V[b] + wc * comb_V[c]
                        if comb - np.floor(comb) > share_T[t]:
                            continue
                    nearest_HW[row, column] = z
                    triangle_HW[row, column] = t
                    weights_HW2[row, column, 0] = wb
                    weights_HW2[row, column, 1] = wc
    return triangle_HW, weights_HW2
