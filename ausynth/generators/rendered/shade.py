"""What light reaches the camera from each point of the picture. Compiled, free of the GIL; colours are linear.

The picture is rastered finer than it is shaded: where all points of a pixel show one surface, one of them is shaded for
all; where they do not (an outline, hairs, an eye), each is.
"""

# mypy: disable-error-code="type-var, arg-type, operator, assignment"
# max() of 32-bit numbers is known to numba alone.

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ausynth.generators.rendered import materials
from ausynth.generators.rendered.curves import F
from ausynth.generators.rendered.kernels import Integers, Real, Triple, inlined, kernel
from ausynth.generators.rendered.materials import GLOSS, OPEN, SHINE, SLOPE_X, SLOPE_Y, SURFACE, WRAP, Look
from ausynth.labels import Floats

__all__ = ["EYE", "HAIR", "LASHES", "SKIN", "TEETH", "TONGUE", "Light", "Scene", "shade"]

SKIN, EYE, TEETH, TONGUE, LASHES, HAIR = range(6)

_STEP: Final = np.float32(0.012)
"""Points of a pixel whose nearness differs by more than this share lie on two surfaces."""


class Light(NamedTuple):
    """The light of one picture.

    Attributes:
        key: direction towards the lamp, in the camera's frame, unit length.
        half: the direction between the lamp and the camera.
        key_colour, sky, ground: colours of the lamp, and of what comes from above and below.
    """

    key: Triple
    half: Triple
    key_colour: Triple
    sky: Triple
    ground: Triple


class Scene(NamedTuple):
    """What stands in front of the camera.

    Attributes:
        triangles: (T, 3).
        kinds: (T,) uint8: SKIN, EYE, TEETH, TONGUE, LASHES or HAIR.
        normals: (V, 3), posed.
        fields: (V, F), see `paint.FIELDS`; of hair: across, along, the strand's direction (3), open, tip.
        grooves: the face's wrinkles, see `wrinkles.grooves`.
        backdrop: (R, R, 3) what is behind, out of focus.
    """

    triangles: Integers
    kinds: NDArray[np.uint8]
    normals: Floats
    fields: Floats
    grooves: Floats
    backdrop: Floats


@kernel
def shade(  # noqa: PLR0912, PLR0917 (numba takes no keywords)
    triangle_HW: Integers,
    weights_HW2: Floats,
    nearest_HW: Floats,
    factor: int,
    scene: Scene,
    look: Look,
    light: Light,
    tile: Floats,
    detail: Real,
    out_HW3: Floats,
) -> None:
    """Write the colour of every pixel, 0-1, into `out_HW3`, given what `raster.fill` saw at its points."""
    # Taken out of the tuple once: each access would count a reference, which costs more than the arithmetic.
    triangles, kinds, normals, fields, grooves, backdrop = scene
    size = out_HW3.shape[0]
    at, surface = np.empty(fields.shape[1], np.float32), np.empty(SURFACE, np.float32)
    normal, sent = np.empty(3, np.float32), np.empty(3, np.float32)
    middle, points = factor // 2, factor * factor
    for row in range(size):
        for column in range(size):
            r, c = row * factor + middle, column * factor + middle
            count = points if _is_mixed(triangle_HW, nearest_HW, kinds, row * factor, column * factor, factor) else 1
            red, green, blue = F(0), F(0), F(0)
            for point in range(count):
                if count > 1:
                    r, c = row * factor + point // factor, column * factor + point % factor
                t = triangle_HW[r, c]
                if t < 0:
                    _behind(backdrop, row, column, size, sent)
                else:
                    i, j, k = triangles[t, 0], triangles[t, 1], triangles[t, 2]
                    wj, wk = weights_HW2[r, c, 0], weights_HW2[r, c, 1]
                    wi = F(1) - wj - wk
                    for n in range(3):
                        normal[n] = wi * normals[i, n] + wj * normals[j, n] + wk * normals[k, n]
                    for n in range(12):
                        at[n] = wi * fields[i, n] + wj * fields[j, n] + wk * fields[k, n]
                    kind = kinds[t]
                    if kind == HAIR:
                        materials.strands(at, look, tile, surface)
                        _light_strand(surface, normal, at, light, sent)
                    else:
                        if kind == SKIN:
                            materials.skin(at, look, grooves, tile, detail, surface)
                        elif kind == EYE:
                            materials.eye(at, look, tile, surface)
                        elif kind == TEETH:
                            materials.teeth(at, surface)
                        elif kind == TONGUE:
                            materials.tongue(at, surface)
                        else:
                            materials.lashes(look, surface)
                            normal[2] = abs(normal[2])  # seen from both sides
                        normal[0] -= surface[SLOPE_X]
                        normal[1] -= surface[SLOPE_Y]
                        _light(surface, normal, light, sent)
                # Highlights roll off before they are averaged, else one glint whitens a whole pixel.
                red += _roll_off(sent[0])
                green += _roll_off(sent[1])
                blue += _roll_off(sent[2])
            share = F(1) / F(count)
            out_HW3[row, column, 0] = red * share
            out_HW3[row, column, 1] = green * share
            out_HW3[row, column, 2] = blue * share


@inlined
def _is_mixed(  # noqa: PLR0917
    triangle_HW: Integers, nearest_HW: Floats, kinds: NDArray[np.uint8], row: int, column: int, factor: int
) -> bool:
    """Return whether the points of a pixel show more than one surface, or one that is fine in itself."""
    first = triangle_HW[row, column]
    kind = kinds[first] if first >= 0 else -1
    nearest = nearest_HW[row, column]
    mixed = kind in (EYE, LASHES, TEETH)
    for i in range(row, row + factor):
        for j in range(column, column + factor):
            other = triangle_HW[i, j]
            if other != first and (
                (kinds[other] if other >= 0 else -1) != kind or abs(nearest_HW[i, j] - nearest) > _STEP * nearest
            ):
                mixed = True
    return mixed


@inlined
def _roll_off(value: Real) -> Real:
    """Return what a sensor makes of light: even up to 0.6, then ever less, and never above 1."""
    over = value - F(0.6)
    return value if over <= 0 else F(0.6) + F(0.4) * over / (F(0.4) + over)


@inlined
def _behind(backdrop: Floats, row: int, column: int, size: int, sent: Floats) -> None:
    """Write the backdrop's colour at a pixel, linearly between its points."""
    last = backdrop.shape[0] - 1
    y, x = F(row) / F(size) * F(last), F(column) / F(size) * F(last)
    i, j = int(y), int(x)
    fy, fx = y - F(i), x - F(j)
    for k in range(3):
        upper = backdrop[i, j, k] * (F(1) - fx) + backdrop[i, j + 1, k] * fx
        lower = backdrop[i + 1, j, k] * (F(1) - fx) + backdrop[i + 1, j + 1, k] * fx
        sent[k] = upper * (F(1) - fy) + lower * fy


@inlined
def _light(surface: Floats, normal: Floats, light: Light, sent: Floats) -> None:
    """Write what a surface sends to the camera: the lamp's light, what comes from all around, and a mirrored spot."""
    inverse = F(1) / np.sqrt(normal[0] * normal[0] + normal[1] * normal[1] + normal[2] * normal[2] + F(1e-12))
    nx, ny, nz = normal[0] * inverse, normal[1] * inverse, normal[2] * inverse
    facing = nx * light.key[0] + ny * light.key[1] + nz * light.key[2]
    mirrored = F(0)
    if facing > F(-0.1) and surface[SHINE] > 0:
        # Two bells in place of a power of the cosine: a wide sheen and a small spot.
        away = surface[GLOSS] * (F(1) - (nx * light.half[0] + ny * light.half[1] + nz * light.half[2]))
        mirrored = surface[SHINE] * surface[OPEN] * (F(0.55) * np.exp(-away) + F(0.45) * np.exp(-F(4) * away))
    rim = F(1) - max(F(0), nz)
    rim = surface[SHINE] * F(1.6) * rim * rim * rim * rim * surface[OPEN]
    up = F(0.5) + F(0.5) * ny
    # The lamp is large: what sees little of the surroundings sees little of it too.
    seen = F(0.30) + F(0.70) * surface[OPEN]
    for j in range(3):
        # Red light travels furthest through skin, so the edge of a shadow is red.
        creep = surface[WRAP] * (F(1.25) if j == 0 else F(0.7) if j == 1 else F(0.5))
        lit = max(F(0), (facing + creep) / (F(1) + creep)) * seen
        around = light.ground[j] + (light.sky[j] - light.ground[j]) * up
        ambient = around * surface[OPEN]
        sent[j] = surface[j] * (light.key_colour[j] * lit + ambient) + light.key_colour[j] * mirrored + around * rim


@inlined
def _light_strand(surface: Floats, normal: Floats, at: Floats, light: Light, sent: Floats) -> None:
    """Write what hair sends to the camera: strands mirror along their length (Kajiya and Kay 1989, section 3)."""
    inside = normal[2] < 0
    side = F(-1) if inside else F(1)
    nx = normal[0] * side - surface[SLOPE_X]
    ny = normal[1] * side - surface[SLOPE_Y]
    nz = normal[2] * side
    inverse = F(1) / np.sqrt(nx * nx + ny * ny + nz * nz + F(1e-12))
    nx, ny, nz = nx * inverse, ny * inverse, nz * inverse
    shift = surface[GLOSS]
    tx, ty, tz = at[2] + shift * nx, at[3] + shift * ny, at[4] + shift * nz
    inverse = F(1) / np.sqrt(tx * tx + ty * ty + tz * tz + F(1e-12))
    along = (tx * light.half[0] + ty * light.half[1] + tz * light.half[2]) * inverse
    across = max(F(0), F(1) - along * along)
    across *= across
    across *= across  # sine to the eighth, sixteenth ...
    facing = nx * light.key[0] + ny * light.key[1] + nz * light.key[2]
    lit = max(F(0), (facing + F(0.25)) / F(1.25))
    wide, small = across * across, across * across * across * across
    mirrored = surface[SHINE] * (F(0.35) * wide + F(0.65) * small * small) * lit
    deep = F(0.65) if inside else F(1)
    up = F(0.5) + F(0.5) * ny
    for j in range(3):
        around = light.ground[j] + (light.sky[j] - light.ground[j]) * up
        body = surface[j] * (light.key_colour[j] * (F(0.15) + F(0.85) * lit) + around) * surface[OPEN]
        sheen = light.key_colour[j] * mirrored * (F(0.35) + F(2.2) * surface[j])
        sent[j] = deep * (body + sheen * surface[OPEN])
