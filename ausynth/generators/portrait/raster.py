"""Which triangle is seen at each point of a picture, for meshes that share one z-buffer. Compiled, free of the GIL."""

from __future__ import annotations

import numpy as np

from ausynth.generators.portrait.kernels import Integers, Real, kernel
from ausynth.labels import Floats

__all__ = ["box_of", "clear", "rasterise", "rasterised"]


@kernel
def clear(nearest_HW: Floats, triangle_HW: Integers) -> None:
    """Empty a z-buffer."""
    for row in range(nearest_HW.shape[0]):
        for column in range(nearest_HW.shape[1]):
            nearest_HW[row, column] = 0
            triangle_HW[row, column] = -1


@kernel
def rasterise(  # noqa: PLR0917 (numba takes no keywords)
    seen_V3: Floats,
    triangles_T3: Integers,
    first: int,
    last: int,
    box_4: Integers,
    nearest_HW: Floats,
    triangle_HW: Integers,
    weights_HW2: Floats,
) -> None:
    """Draw the triangles first:last that face the viewer into a z-buffer.

    Args:
        seen_V3: column, row and nearness of each vertex, see `rendered.raster.project`.
        triangles_T3: corners, counterclockwise to who sees their front.
        first: number of the first triangle.
        last: and of the one after the last.
        box_4: left, right, top, bottom (included): nothing is drawn outside.
        nearest_HW: nearness of what is there, changed in place; 0 is nothing.
        triangle_HW: its triangle, -1 is none.
        weights_HW2: weights of the triangle's corners 1 and 2 there.
    """
    half, one, least = np.float32(0.5), np.float32(1), np.float32(-1e-5)  # tolerance: no cracks between neighbours
    for t in range(first, last):
        a, b, c = triangles_T3[t, 0], triangles_T3[t, 1], triangles_T3[t, 2]
        xa, ya, xb, yb = seen_V3[a, 0], seen_V3[a, 1], seen_V3[b, 0], seen_V3[b, 1]
        xc, yc = seen_V3[c, 0], seen_V3[c, 1]
        # Rows grow downward, so what is counterclockwise to the viewer has a negative area here.
        area = (xb - xa) * (yc - ya) - (xc - xa) * (yb - ya)
        if area >= 0:
            continue
        left, right = max(box_4[0], int(np.ceil(min(xa, xb, xc) - half))), min(box_4[1], int(max(xa, xb, xc) - half))
        if left > right:
            continue
        top, bottom = max(box_4[2], int(np.ceil(min(ya, yb, yc) - half))), min(box_4[3], int(max(ya, yb, yc) - half))
        if top > bottom:
            continue
        inverse = one / area
        za, zb, zc = seen_V3[a, 2], seen_V3[b, 2], seen_V3[c, 2]
        db_x, db_y = (yc - ya) * inverse, -(xc - xa) * inverse
        dc_x, dc_y = -(yb - ya) * inverse, (xb - xa) * inverse
        for row in range(top, bottom + 1):
            y = np.float32(row) + half - ya
            for column in range(left, right + 1):
                x = np.float32(column) + half - xa
                wb = db_x * x + db_y * y
                wc = dc_x * x + dc_y * y
                wa = one - wb - wc
                if wa < least or wb < least or wc < least:
                    continue
                z = wa * za + wb * zb + wc * zc
                if z > nearest_HW[row, column]:
                    nearest_HW[row, column] = z
                    triangle_HW[row, column] = t
                    weights_HW2[row, column, 0] = wb
                    weights_HW2[row, column, 1] = wc


@kernel
def box_of(  # noqa: PLR0917
    seen_V3: Floats, vertices_K: Integers, margin: Real, width: int, height: int, box_4: Integers
) -> None:
    """Write the box (left, right, top, bottom; inside the picture) around some vertices as seen."""
    left, right = np.float32(1e9), np.float32(-1e9)
    top, bottom = np.float32(1e9), np.float32(-1e9)
    for i in vertices_K:
        left, right = min(left, seen_V3[i, 0]), max(right, seen_V3[i, 0])
        top, bottom = min(top, seen_V3[i, 1]), max(bottom, seen_V3[i, 1])
    box_4[0], box_4[1] = max(0, int(left - margin)), min(width - 1, int(right + margin))
    box_4[2], box_4[3] = max(0, int(top - margin)), min(height - 1, int(bottom + margin))


def rasterised(seen_V3: Floats, triangles_T3: Integers, size: int) -> tuple[Integers, Floats]:
    """Return (size, size) which triangle is seen, -1 for none, and (size, size, 2) its weights of corners 1 and 2."""
    nearest_HW = np.empty((size, size), np.float32)
    triangle_HW, weights_HW2 = np.empty((size, size), np.int32), np.zeros((size, size, 2), np.float32)
    clear(nearest_HW, triangle_HW)
    box_4 = np.array([0, size - 1, 0, size - 1], np.int32)
    rasterise(seen_V3, triangles_T3, 0, len(triangles_T3), box_4, nearest_HW, triangle_HW, weights_HW2)
    return triangle_HW, weights_HW2
