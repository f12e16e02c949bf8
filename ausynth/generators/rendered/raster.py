"""Which triangle is seen at each point of the picture: a z-buffer. Compiled, free of the GIL."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from ausynth.generators.rendered.kernels import Integers, Real, inlined, kernel
from ausynth.generators.rendered.noises import NOISE_SIZE
from ausynth.labels import Floats

__all__ = ["FUR", "HIDDEN", "LASH", "SOLID", "STRANDS", "fill", "project"]

SOLID, LASH, STRANDS, HIDDEN, FUR = range(5)
"""Rules for a triangle: seen from outside; two sheets that are there in parts (lashes, hair that hangs); left out; hair
that lies on the head, seen from outside."""

_LAST: Final = NOISE_SIZE - 1


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


@inlined
def _is_cut(  # noqa: PLR0917
    cut_V3: Floats, tile: Floats, rule: int, a: int, b: int, c: int, wa: Real, wb: Real, wc: Real
) -> bool:
    """Return whether a sheet has a hole at a point: between lashes, beyond the ends of hairs."""
    first = wa * cut_V3[a, 0] + wb * cut_V3[b, 0] + wc * cut_V3[c, 0]
    second = wa * cut_V3[a, 1] + wb * cut_V3[b, 1] + wc * cut_V3[c, 1]
    third = wa * cut_V3[a, 2] + wb * cut_V3[b, 2] + wc * cut_V3[c, 2]
    if rule == LASH:
        return bool(first - np.floor(first) > second)
    # The same along a strand, so that it ends in a point.
    i = int(np.floor(first * np.float32(NOISE_SIZE))) & _LAST
    ragged = np.float32(0.62) + np.float32(0.16) * tile[7, i, 2] + np.float32(0.30) * tile[7, i, 1]
    return bool(second < ragged or third < np.float32(0.09) * ragged)


@kernel
def fill(  # noqa: PLR0917 (numba takes no keywords)
    seen_V3: Floats,
    triangles_T3: Integers,
    rules_T: NDArray[np.uint8],
    cut_V3: Floats,
    tile: Floats,
    size: int,
    triangle_HW: Integers,
    weights_HW2: Floats,
    nearest_HW: Floats,
) -> None:
    """Write what is seen: triangles (-1: none), weights of their corners 1 and 2, and nearness.

    Args:
        seen_V3: from `project`.
        triangles_T3: corners.
        rules_T: SOLID, LASH, STRANDS, HIDDEN or FUR.
        cut_V3: for LASH: place along the comb, share of each unit that is there, unused. For STRANDS and FUR: place
            across the hairs in tiles of noise, distance to their ends in lengths of a wisp, and how much the sheet
            faces the viewer (0-1).
        tile: the noise.
        size: height and width.
        triangle_HW, weights_HW2, nearest_HW: written.
    """
    nearest_HW[:] = 0
    triangle_HW[:] = -1
    half = np.float32(0.5)
    low, one = np.float32(-1e-5), np.float32(1)
    for t in range(len(triangles_T3)):
        rule = rules_T[t]
        if rule == HIDDEN:
            continue
        a, b, c = triangles_T3[t, 0], triangles_T3[t, 1], triangles_T3[t, 2]
        xa, ya, xb, yb, xc, yc = (
            seen_V3[a, 0], seen_V3[a, 1], seen_V3[b, 0], seen_V3[b, 1], seen_V3[c, 0], seen_V3[c, 1],
        )  # fmt: skip
        # Rows grow downward, so what is counterclockwise to the viewer has a negative area here.
        area = (xb - xa) * (yc - ya) - (xc - xa) * (yb - ya)
        if area == 0 or (area > 0 and rule in (SOLID, FUR)):
            continue
        # Whole numbers from the first at or after the least to the last at or before the most, within the picture.
        least_x, most_x = min(xa, xb, xc) - half, max(xa, xb, xc) - half
        least_y, most_y = min(ya, yb, yc) - half, max(ya, yb, yc) - half
        if most_x < 0 or most_y < 0 or least_x > size - 1 or least_y > size - 1:
            continue
        left, top = int(max(least_x, np.float32(0))), int(max(least_y, np.float32(0)))
        left, top = left + (left < least_x), top + (top < least_y)
        right, bottom = min(size - 1, int(most_x)), min(size - 1, int(most_y))
        if left > right or top > bottom:
            continue
        inverse = one / area
        za, zb, zc = seen_V3[a, 2], seen_V3[b, 2], seen_V3[c, 2]
        db_x, db_y = (yc - ya) * inverse, -(xc - xa) * inverse
        dc_x, dc_y = -(yb - ya) * inverse, (xb - xa) * inverse
        for row in range(top, bottom + 1):
            y = np.float32(row) + half - ya
            row_b, row_c = db_y * y, dc_y * y
            x = np.float32(left) + half - xa - one
            for column in range(left, right + 1):
                x += one
                wb = row_b + db_x * x
                wc = row_c + dc_x * x
                wa = one - wb - wc
                # A hair's breadth of tolerance: no cracks between neighbours.
                if wa < low or wb < low or wc < low:
                    continue
                z = wa * za + wb * zb + wc * zc
                if z > nearest_HW[row, column]:
                    if rule != SOLID and _is_cut(cut_V3, tile, rule, a, b, c, wa, wb, wc):
                        continue
                    nearest_HW[row, column] = z
                    triangle_HW[row, column] = t
                    weights_HW2[row, column, 0] = wb
                    weights_HW2[row, column, 1] = wc
