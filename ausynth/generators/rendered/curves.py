"""Small functions that the shading is made of. Compiled; all numbers are 32 bits."""

# mypy: disable-error-code="no-any-return"
# numba's decorators have no types for mypy.

from __future__ import annotations

import numpy as np

from ausynth.generators.rendered.kernels import Real, inlined
from ausynth.generators.rendered.noises import NOISE_SIZE
from ausynth.labels import Floats

__all__ = ["F", "bump", "groove", "noise", "noises", "smooth"]

F = np.float32
"""Wraps every literal: one of Python's would make 64 bits of the whole expression, and half the speed."""

_LAST = NOISE_SIZE - 1


@inlined
def smooth(low: Real, high: Real, value: Real) -> Real:
    """Return 0 below `low`, 1 above `high`, and a smooth step between."""
    share = (F(value) - F(low)) / (F(high) - F(low))
    share = min(max(share, F(0)), F(1))
    return share * share * (F(3) - F(2) * share)


@inlined
def bump(value: Real, middle: Real, width: Real) -> Real:
    """Return a bell of height 1 around `middle`."""
    offset = (F(value) - F(middle)) / F(width)
    square = offset * offset
    return np.exp(-square) if square < F(12) else F(0)


@inlined
def _neighbours(u: Real, v: Real) -> tuple[int, int, int, int, Real, Real]:
    """Return the columns and rows of noise around (u, v), in tiles, and how far between them it lies."""
    x, y = (u - np.floor(u)) * F(NOISE_SIZE), (v - np.floor(v)) * F(NOISE_SIZE)
    i, j = int(x), int(y)
    return i & _LAST, (i + 1) & _LAST, j & _LAST, (j + 1) & _LAST, x - F(i), y - F(j)


@inlined
def noise(tile: Floats, band: int, u: Real, v: Real) -> Real:
    """Return a band of the noise at (u, v), in tiles, linearly between its points."""
    i0, i1, j0, j1, fx, fy = _neighbours(u, v)
    gx, gy = F(1) - fx, F(1) - fy
    upper, lower = tile[j0, i0, band] * gx + tile[j0, i1, band] * fx, tile[j1, i0, band] * gx + tile[j1, i1, band] * fx
    return upper * gy + lower * fy


@inlined
def noises(tile: Floats, u: Real, v: Real) -> tuple[Real, Real, Real]:
    """Return all three bands of the noise at once: coarse, middling, fine."""
    i0, i1, j0, j1, fx, fy = _neighbours(u, v)
    gx, gy = F(1) - fx, F(1) - fy
    a, b, c, d = gx * gy, fx * gy, gx * fy, fx * fy
    return (
        a * tile[j0, i0, 0] + b * tile[j0, i1, 0] + c * tile[j1, i0, 0] + d * tile[j1, i1, 0],
        a * tile[j0, i0, 1] + b * tile[j0, i1, 1] + c * tile[j1, i0, 1] + d * tile[j1, i1, 1],
        a * tile[j0, i0, 2] + b * tile[j0, i1, 2] + c * tile[j1, i0, 2] + d * tile[j1, i1, 2],
    )


@inlined
def groove(grooves_HW: Floats, x: Real, y: Real) -> tuple[Real, Real, Real]:
    """Return the grooves' (depth, slope to the left, slope up) at a rest position; see `wrinkles.grooves`."""
    height, width = grooves_HW.shape
    column, row = (x + F(9)) * F(10), (F(83) - y) * F(10)
    if not (1 <= column < width - 2 and 1 <= row < height - 2):
        return F(0), F(0), F(0)
    i, j = int(column), int(row)
    fx, fy = column - F(i), row - F(j)
    gx, gy = F(1) - fx, F(1) - fy
    a, b, c, d = grooves_HW[j, i], grooves_HW[j, i + 1], grooves_HW[j + 1, i], grooves_HW[j + 1, i + 1]
    depth = (a * gx + b * fx) * gy + (c * gx + d * fx) * fy
    return depth, (b - a) * gy + (d - c) * fy, (a - c) * gx + (b - d) * fx
