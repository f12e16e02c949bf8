"""What light reaches the camera from each point of the picture. Compiled, free of the GIL; colours are linear."""

# mypy: disable-error-code="type-var, arg-type, operator, assignment"
# max() of 32-bit numbers is known to numba alone.

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ausynth.generators.rendered import materials
from ausynth.generators.rendered.curves import F
from ausynth.generators.rendered.kernels import Integers, Triple, inlined, kernel
from ausynth.generators.rendered.materials import GLOSS, OPEN, SHINE, SLOPE_X, SLOPE_Y, SURFACE, WRAP, Look
from ausynth.labels import Floats

__all__ = ["EYE", "LASHES", "SKIN", "TEETH", "TONGUE", "Light", "Scene", "shade"]

SKIN, EYE, TEETH, TONGUE, LASHES = range(5)


class Light(NamedTuple):
    """The light of one picture.

    Attributes:
        key: direction towards the lamp, in the camera's frame, unit length.
        key_colour, sky, ground: colours of the lamp, and of what comes from above and below.
        background: colours at the upper and at the lower edge.
    """

    key: Triple
    key_colour: Triple
    sky: Triple
    ground: Triple
    background: tuple[Triple, Triple]


class Scene(NamedTuple):
    """What stands in front of the camera.

    Attributes:
        triangles: (T, 3).
        kinds: (T,) uint8: SKIN, EYE, TEETH, TONGUE or LASHES.
        vertices: (V, 3), posed, centimetres.
        normals: (V, 3).
        fields: (V, F), see `paint.FIELDS`.
        grooves: the face's wrinkles, see `wrinkles.grooves`.
        camera: (3,) its place.
    """

    triangles: Integers
    kinds: NDArray[np.uint8]
    vertices: Floats
    normals: Floats
    fields: Floats
    grooves: Floats
    camera: Floats


@kernel
def shade(  # noqa: PLR0917 (numba takes no keywords)
    triangle_HW: Integers, weights_HW2: Floats, scene: Scene, look: Look, light: Light, tile: Floats, out_HW3: Floats
) -> None:
    """Write the colour of every point of the picture into `out_HW3`, given what `raster.rasterise` saw there."""
    # Taken out of the tuple once: each access would count a reference, which costs more than the arithmetic.
    triangles, kinds, vertices, normals, fields, grooves, camera = scene
    size = triangle_HW.shape[0]
    at, surface = np.empty(fields.shape[1], np.float32), np.empty(SURFACE, np.float32)
    normal, place, sent = np.empty(3, np.float32), np.empty(3, np.float32), np.empty(3, np.float32)
    for row in range(size):
        for column in range(size):
            t = triangle_HW[row, column]
            if t < 0:
                share = F(row) / F(size)
                for j in range(3):
                    out_HW3[row, column, j] = light.background[0][j] * (F(1) - share) + light.background[1][j] * share
                continue
            a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
            wb, wc = weights_HW2[row, column, 0], weights_HW2[row, column, 1]
            wa = F(1) - wb - wc
            for j in range(3):
                normal[j] = wa * normals[a, j] + wb * normals[b, j] + wc * normals[c, j]
                place[j] = wa * vertices[a, j] + wb * vertices[b, j] + wc * vertices[c, j]
            for j in range(len(at)):
                at[j] = wa * fields[a, j] + wb * fields[b, j] + wc * fields[c, j]
            kind = kinds[t]
            if kind == SKIN:
                materials.skin(at, look, grooves, tile, surface)
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
            _light(surface, normal, place, light, camera, sent)
            for j in range(3):
                out_HW3[row, column, j] = sent[j]


@inlined
def _light(  # noqa: PLR0917
    surface: Floats, normal: Floats, place: Floats, light: Light, camera: Floats, sent: Floats
) -> None:
    """Write what a surface sends to the camera: the lamp's light, what comes from all around, and a mirrored spot."""
    length = np.sqrt(normal[0] * normal[0] + normal[1] * normal[1] + normal[2] * normal[2]) + F(1e-9)
    nx, ny, nz = normal[0] / length, normal[1] / length, normal[2] / length
    facing = nx * light.key[0] + ny * light.key[1] + nz * light.key[2]
    mirrored = F(0)
    if facing > F(-0.1) and surface[SHINE] > 0:
        vx, vy, vz = camera[0] - place[0], camera[1] - place[1], camera[2] - place[2]
        length = np.sqrt(vx * vx + vy * vy + vz * vz)
        hx, hy, hz = light.key[0] + vx / length, light.key[1] + vy / length, light.key[2] + vz / length
        glint = (nx * hx + ny * hy + nz * hz) / np.sqrt(hx * hx + hy * hy + hz * hz)
        mirrored = surface[SHINE] * max(F(0), glint) ** surface[GLOSS] * surface[OPEN]
    up = F(0.5) + F(0.5) * ny
    # The lamp is large: what sees little of the surroundings sees little of it too.
    seen = F(0.35) + F(0.65) * surface[OPEN]
    for j in range(3):
        # Red light travels furthest through skin, so the edge of a shadow is red.
        creep = surface[WRAP] * (F(1.2) if j == 0 else F(0.6))
        lit = max(F(0), (facing + creep) / (F(1) + creep)) * seen
        ambient = (light.ground[j] + (light.sky[j] - light.ground[j]) * up) * surface[OPEN]
        sent[j] = surface[j] * (light.key_colour[j] * lit + ambient) + light.key_colour[j] * mirrored
