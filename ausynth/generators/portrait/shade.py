"""What light reaches the camera from each point of the picture. Compiled, free of the GIL; colours are linear.

The face lies over the photograph's sheet (hair, ears, neck), the sheet over the background. The face's edge is soft.
"""

# mypy: disable-error-code="type-var, arg-type, operator, assignment, no-any-return"
# max() of 32-bit numbers is known to numba alone.

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ausynth.generators.portrait.irises import EXTENT
from ausynth.generators.portrait.kernels import Integers, Real, inlined, kernel
from ausynth.generators.portrait.topology import EYE, GUMS, SKIN, TEETH
from ausynth.generators.portrait.wrinkles import LEFT_EDGE, POINTS_PER_CM, UPPER_EDGE
from ausynth.labels import Floats

__all__ = ["Front", "Lens", "Sheet", "shade"]

F = np.float32

_LEFT, _TOP, _POINTS = F(-LEFT_EDGE), F(UPPER_EDGE), F(POINTS_PER_CM)


class Front(NamedTuple):
    """The mesh in front: face, eyes, and what is between the lips.

    Attributes:
        triangles: (T, 3).
        kinds: (T,) uint8, see `topology`.
        uv: (T, 3, 2) places in the texture, 0-1, v down.
        rest: (V, 3) the mean head, over which the grooves' map lies.
        shade: (V, 3) light on each vertex.
        normals: (V, 3) in the picture's axes.
        cover: (V,) 0-1 how opaque the mesh is.
        rim: (V,) 0-1 how far the surface melts into the photograph behind where it turns away.
        open: (V,) 0-1 how much light reaches an eyeball under the lids, or the inside of the mouth.
        eye: (V, 3) on eyeballs: direction from the middle at rest, unit length.
        texture: (S, S, 3) uint8 sRGB.
        grooves: see `wrinkles.grooves`.
    """

    triangles: Integers
    kinds: NDArray[np.uint8]
    uv: Floats
    rest: Floats
    shade: Floats
    normals: Floats
    cover: Floats
    rim: Floats
    open: Floats
    eye: Floats
    texture: NDArray[np.uint8]
    grooves: Floats


class Sheet(NamedTuple):
    """The photograph around the face.

    Attributes:
        triangles: (T, 3).
        places: (G, 2) column and row in the picture.
        light: (G, 3) factor by which the light differs from the photograph's.
        picture: (H, W, 4) uint8 sRGB and opacity.
    """

    triangles: Integers
    places: Floats
    light: Floats
    picture: NDArray[np.uint8]


class Lens(NamedTuple):
    """What else the shading asks for.

    Attributes:
        key: (3,) direction towards the strongest lamp.
        key_colour: (3,) its light.
        eyes: (2, P, P, 3), see `irises.eye_maps`.
    """

    key: Floats
    key_colour: Floats
    eyes: Floats


@kernel
def shade(  # noqa: PLR0912, PLR0917 (numba takes no keywords, and a call a point costs)
    front_HW: Integers,
    front_weights_HW2: Floats,
    front: Front,
    sheet_HW: Integers,
    sheet_weights_HW2: Floats,
    sheet: Sheet,
    lens: Lens,
    linear: Floats,
    out_HW3: Floats,
) -> None:
    """Write the light of every point over the background that `out_HW3` holds."""
    # Taken out of the tuples once: each access would count a reference, which costs more than the arithmetic.
    triangles, kinds, uv, rest, light, normals, cover, rim, opened, eye, texture, grooves = front
    sheet_triangles, places, sheet_light, picture = sheet
    key, key_colour, maps = lens
    height, width = front_HW.shape
    sent, under = np.empty(3, np.float32), np.empty(3, np.float32)
    for row in range(height):
        for column in range(width):
            t = front_HW[row, column]
            alpha = F(0)
            if t >= 0:
                a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
                wb, wc = front_weights_HW2[row, column, 0], front_weights_HW2[row, column, 1]
                wa = F(1) - wb - wc
                kind = kinds[t]
                alpha = wa * cover[a] + wb * cover[b] + wc * cover[c]
                nz = wa * normals[a, 2] + wb * normals[b, 2] + wc * normals[c, 2]
                if kind == SKIN:
                    # Where the face turns away its edge melts into the photograph's own.
                    facing = min(max((nz - F(0.04)) / F(0.26), F(0)), F(1))
                    side = wa * rim[a] + wb * rim[b] + wc * rim[c]
                    alpha *= F(1) + side * (facing - F(1))
                if alpha > F(0.004):
                    u = wa * uv[t, 0, 0] + wb * uv[t, 1, 0] + wc * uv[t, 2, 0]
                    v = wa * uv[t, 0, 1] + wb * uv[t, 1, 1] + wc * uv[t, 2, 1]
                    for j in range(3):
                        under[j] = wa * light[a, j] + wb * light[b, j] + wc * light[c, j]
                    nx = wa * normals[a, 0] + wb * normals[b, 0] + wc * normals[c, 0]
                    ny = wa * normals[a, 1] + wb * normals[b, 1] + wc * normals[c, 1]
                    inside = wa * opened[a] + wb * opened[b] + wc * opened[c]
                    if kind == SKIN:
                        x = wa * rest[a, 0] + wb * rest[b, 0] + wc * rest[c, 0]
                        y = wa * rest[a, 1] + wb * rest[b, 1] + wc * rest[c, 1]
                        _skin(u, v, x, y, texture, grooves, linear, key, under, sent)
                        for j in range(3):
                            sent[j] *= inside
                    elif kind == EYE:
                        ex = wa * eye[a, 0] + wb * eye[b, 0] + wc * eye[c, 0]
                        ey = wa * eye[a, 1] + wb * eye[b, 1] + wc * eye[c, 1]
                        _eye(ex, ey, maps, 0 if rest[a, 0] > 0 else 1, sent)
                        glint = _glint(nx, ny, nz, key)
                        for j in range(3):
                            sent[j] = sent[j] * under[j] + key_colour[j] * glint * inside
                    else:
                        _mouth(kind, nz, sent)
                        for j in range(3):
                            sent[j] *= under[j] * inside
            if alpha < F(0.996):
                s = sheet_HW[row, column]
                if s >= 0:
                    _over(s, sheet_weights_HW2[row, column, 0], sheet_weights_HW2[row, column, 1],
                          sheet_triangles, places, sheet_light, picture, linear, out_HW3, row, column)  # fmt: skip
            if alpha > F(0.004):
                for j in range(3):
                    out_HW3[row, column, j] += alpha * (sent[j] - out_HW3[row, column, j])


@inlined
def _corner(x: Real, y: Real, width: int, height: int) -> tuple[int, int, int, int, Real, Real]:
    """Return the columns and rows around a place, kept inside, and how far between them it lies."""
    x, y = min(max(x, F(0)), F(width - 1)), min(max(y, F(0)), F(height - 1))
    i, j = int(x), int(y)
    return i, min(i + 1, width - 1), j, min(j + 1, height - 1), x - F(i), y - F(j)


@inlined
def _skin(  # noqa: PLR0917
    u: Real, v: Real, x: Real, y: Real,
    texture: NDArray[np.uint8], grooves: Floats, linear: Floats, key: Floats, light: Floats, sent: Floats,
) -> None:  # fmt: skip
    """Write what skin sends: its own colour, the lines in it, and the light on it."""
    size = texture.shape[0]
    i0, i1, j0, j1, fx, fy = _corner(u * F(size) - F(0.5), v * F(size) - F(0.5), size, size)
    gx, gy = F(1) - fx, F(1) - fy
    w00, w10, w01, w11 = gx * gy, fx * gy, gx * fy, fx * fy
    column, row = (x + _LEFT) * _POINTS, (_TOP - y) * _POINTS
    depth, tilt = F(0), F(0)
    if 1 <= column < grooves.shape[1] - 2 and 1 <= row < grooves.shape[0] - 2:
        i, j = int(column), int(row)
        hx, hy = column - F(i), row - F(j)
        a, b, c, d = grooves[j, i], grooves[j, i + 1], grooves[j + 1, i], grooves[j + 1, i + 1]
        upper, lower = a + (b - a) * hx, c + (d - c) * hx
        depth = upper + (lower - upper) * hy
        slope_x = (b - a) * (F(1) - hy) + (d - c) * hy
        slope_y = (a - c) * (F(1) - hx) + (b - d) * hx
        # A groove's wall that faces the lamp is brighter; the slopes are those of a depth of about a millimetre.
        tilt = F(1.4) * (slope_x * key[0] + slope_y * (F(0.35) + key[1]))
        tilt = min(max(tilt, F(-0.35)), F(0.35))
    keep = F(1) - min(F(0.6), F(0.44) * max(F(0), depth)) + F(0.14) * max(F(0), -depth)
    bright = keep * (F(1) + tilt)
    for k in range(3):
        colour = (
            w00 * linear[texture[j0, i0, k]] + w10 * linear[texture[j0, i1, k]]
            + w01 * linear[texture[j1, i0, k]] + w11 * linear[texture[j1, i1, k]]
        )  # fmt: skip
        # Light that enters a fold comes out redder.
        own = bright if k > 0 else F(0.35) + F(0.65) * bright if bright < F(1) else bright
        sent[k] = colour * light[k] * own


@inlined
def _eye(ex: Real, ey: Real, maps: Floats, side: int, sent: Floats) -> None:
    """Write the colour of an eyeball at a direction from its middle, see `irises.eye_maps`."""
    points = maps.shape[1]
    x = (ex / F(EXTENT) + F(1)) * F(0.5) * F(points) - F(0.5)
    y = (F(1) - ey / F(EXTENT)) * F(0.5) * F(points) - F(0.5)
    i0, i1, j0, j1, fx, fy = _corner(x, y, points, points)
    gx, gy = F(1) - fx, F(1) - fy
    w00, w10, w01, w11 = gx * gy, fx * gy, gx * fy, fx * fy
    for k in range(3):
        sent[k] = (
            w00 * maps[side, j0, i0, k]
            + w10 * maps[side, j0, i1, k]
            + w01 * maps[side, j1, i0, k]
            + w11 * maps[side, j1, i1, k]
        )


@inlined
def _glint(nx: Real, ny: Real, nz: Real, key: Floats) -> Real:
    """Return the lamp's mirror image on a wet ball, seen from the front."""
    hx, hy, hz = key[0], key[1], key[2] + F(1)
    length = np.sqrt(hx * hx + hy * hy + hz * hz) + F(1e-6)
    facing = (nx * hx + ny * hy + nz * hz) / length
    return F(0.8) * min(max((facing - F(0.992)) / F(0.006), F(0)), F(1))


@inlined
def _mouth(kind: int, nz: Real, sent: Floats) -> None:
    """Write the colour of teeth, gums and tongue, or of the mouth's wall."""
    rounded = F(0.62) + F(0.38) * min(max(nz, F(0)), F(1))
    if kind == TEETH:
        sent[0], sent[1], sent[2] = F(0.52) * rounded, F(0.47) * rounded, F(0.38) * rounded
    elif kind == GUMS:
        sent[0], sent[1], sent[2] = F(0.44) * rounded, F(0.18) * rounded, F(0.165) * rounded
    else:
        sent[0], sent[1], sent[2] = F(0.16), F(0.045), F(0.04)


@inlined
def _over(  # noqa: PLR0917
    s: int, wb: Real, wc: Real, triangles: Integers, places: Floats, light: Floats, picture: NDArray[np.uint8],
    linear: Floats, out_HW3: Floats, row: int, column: int,
) -> None:  # fmt: skip
    """Lay the photograph's sheet over the background."""
    a, b, c = triangles[s, 0], triangles[s, 1], triangles[s, 2]
    wa = F(1) - wb - wc
    x = wa * places[a, 0] + wb * places[b, 0] + wc * places[c, 0] - F(0.5)
    y = wa * places[a, 1] + wb * places[b, 1] + wc * places[c, 1] - F(0.5)
    i0, i1, j0, j1, fx, fy = _corner(x, y, picture.shape[1], picture.shape[0])
    gx, gy = F(1) - fx, F(1) - fy
    w00, w10, w01, w11 = gx * gy, fx * gy, gx * fy, fx * fy
    alpha = (
        w00 * F(picture[j0, i0, 3])
        + w10 * F(picture[j0, i1, 3])
        + w01 * F(picture[j1, i0, 3])
        + w11 * F(picture[j1, i1, 3])
    ) / F(255)
    if alpha <= 0:
        return
    for k in range(3):
        colour = (
            w00 * linear[picture[j0, i0, k]] + w10 * linear[picture[j0, i1, k]]
            + w01 * linear[picture[j1, i0, k]] + w11 * linear[picture[j1, i1, k]]
        )  # fmt: skip
        colour *= wa * light[a, k] + wb * light[b, k] + wc * light[c, k]
        out_HW3[row, column, k] += alpha * (colour - out_HW3[row, column, k])
