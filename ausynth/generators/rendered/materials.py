"""What skin, hair, eyes, teeth and tongue look like at one point, before light falls on it. Compiled.

Each function reads `at`, the point's `paint.FIELDS`, and writes `surface`: the colour (linear red-green-blue) and how
it takes light, in the places that the constants below name.
"""

# mypy: disable-error-code="call-overload, type-var, arg-type, operator, assignment"
# min() and max() of 32-bit numbers are known to numba alone.

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from ausynth.generators.rendered.curves import F, bump, groove, noise, noises, smooth
from ausynth.generators.rendered.kernels import Real, Triple, inlined
from ausynth.generators.rendered.paint import FIELDS
from ausynth.labels import Floats

__all__ = [
    "GLOSS",
    "OPEN",
    "SHINE",
    "SLOPE_X",
    "SLOPE_Y",
    "SURFACE",
    "WRAP",
    "Look",
    "eye",
    "lashes",
    "skin",
    "teeth",
    "tongue",
]

WRAP: Final = 3  # how far light creeps around into the shade
SHINE: Final = 4  # how much of the lamp is mirrored
GLOSS: Final = 5  # how small the mirrored spot is
OPEN: Final = 6  # how much light from all around reaches the point
SLOPE_X: Final = 7  # how far grooves tilt the surface to the left and up
SLOPE_Y: Final = 8
SURFACE: Final = 9

_X, _Y, _Z, _OPEN, _LIPS, _INSIDE, _LIDS, _EARS, _AROUND, _HAIR, _EYE_X, _EYE_Y = range(len(FIELDS))


class Look(NamedTuple):
    """What of a person's traits the materials show; see `identity.Traits`."""

    melanin: np.float32
    blood: np.float32
    lips: np.float32
    hair_grow: np.float32
    brow_density: np.float32
    brow_thickness: np.float32
    brow_height: np.float32
    brow_arch: np.float32
    beard: np.float32
    mottling: np.float32
    freckles: np.float32
    shine: np.float32
    hair: Triple
    iris: Triple
    cloth: Triple
    texture: tuple[np.float32, np.float32]


@inlined
def skin(at: Floats, look: Look, grooves_HW: Floats, tile: Floats, surface: Floats) -> None:
    """Write the surface of a point of the skin: bare, or covered by hair or cloth, or inside the mouth."""
    x, y, z, lips = at[_X], at[_Y], at[_Z], at[_LIPS]
    coarse, middling, fine = noises(tile, at[_AROUND] * F(0.03) + look.texture[0], y * F(0.03) + look.texture[1])
    front = smooth(8, 12, z)
    cheeks = bump(abs(x), 4.6, 2.0) * bump(y, 69.5, 2.2) * front
    nose = bump(x, 0, 1.3) * bump(y, 69.3, 1.3) * front
    melanin = look.melanin * (F(1) + F(0.07) * look.mottling * coarse + F(0.03) * fine) + F(0.12) * at[_LIDS]
    melanin += look.freckles * F(0.25) * max(F(0), fine - F(1)) * front * smooth(66, 68, y)
    blood = look.blood * (F(1) + F(0.09) * look.mottling * middling + F(0.45) * (cheeks + nose))
    blood += F(0.35) * at[_EARS] + lips * look.lips * (F(1.5) + F(0.15) * fine)
    # Much melanin hides the blood below it.
    blood /= F(1) + F(0.35) * melanin
    # The two pigments' absorption, by eye from photographs; red passes both.
    surface[0] = F(0.84) * np.exp(-F(0.66) * melanin - F(0.07) * blood)
    surface[1] = F(0.76) * np.exp(-F(0.86) * melanin - F(0.42) * blood)
    surface[2] = F(0.66) * np.exp(-F(1.08) * melanin - F(0.40) * blood)
    surface[WRAP] = F(0.25)
    surface[SHINE] = F(0.05) * look.shine + F(0.10) * lips
    surface[GLOSS] = F(14) + F(20) * lips
    surface[OPEN] = at[_OPEN]
    surface[SLOPE_X], surface[SLOPE_Y] = F(0), F(0)
    if z > F(6):
        depth, slope_x, slope_y = groove(grooves_HW, x, y)
        surface[SLOPE_X], surface[SLOPE_Y] = F(2.6) * slope_x, F(2.6) * slope_y
        keep = F(1) - min(F(0.5), F(0.26) * max(F(0), depth))
        surface[0] *= F(0.5) + F(0.5) * keep
        surface[1] *= keep
        surface[2] *= keep
    _cover_with_hair(at, look, tile, middling, fine, surface)
    if at[_INSIDE] > 0:
        _wet(at, surface)
    if y < F(64):
        collar = F(57.0) + F(0.12) * z + F(0.02) * x * x
        cloth = F(1) - smooth(collar - F(0.15), collar + F(0.15), y)
        for j in range(3):
            surface[j] += cloth * (look.cloth[j] - surface[j])
        surface[SHINE] *= F(1) - cloth


@inlined
def _cover_with_hair(  # noqa: PLR0917
    at: Floats, look: Look, tile: Floats, middling: Real, fine: Real, surface: Floats
) -> None:
    """Lay brows, beard and the scalp's hair over the skin."""
    y, z = at[_Y], at[_Z]
    cover = F(0)
    if z > F(10) and F(73) < y < F(78):
        cover = _brow(at[_X], y, look, tile)
    if look.beard > 0 and at[_INSIDE] < F(0.5) and z > F(3):
        dense = min(F(1), max(F(0), F(0.75) + F(0.18) * fine))
        cover = max(cover, look.beard * dense * _beard(at))
    edge = at[_HAIR] + F(0.16) * fine + F(0.12) * middling
    if look.hair_grow > 0:
        cover = max(cover, smooth(-0.25, 0.3, edge))
    elif at[_HAIR] > 0:
        cover = max(cover, F(0.18) * smooth(0, 1, edge))  # a shaved head: the stubble's shade
    if cover > 0:
        strands = F(1) + F(0.16) * noise(tile, 2, at[_AROUND] * F(0.16), (y + z) * F(0.03))
        for j in range(3):
            surface[j] += cover * (look.hair[j] * strands - surface[j])
        surface[WRAP] += cover * (F(0.5) - surface[WRAP])
        surface[SHINE] *= F(1) - cover * F(0.5)


@inlined
def _brow(x: Real, y: Real, look: Look, tile: Floats) -> Real:
    """Return how much of the skin at a rest position the brow's hair covers, 0-1."""
    side = abs(x)
    along = (side - F(1.15)) / F(4.6)  # 0 at the inner, 1 at the outer end
    if along < F(-0.15) or along > F(1.1):
        return F(0)
    middle = F(74.75) + look.brow_height + F(0.12) * along
    middle += look.brow_arch * (bump(along, 0.6, 0.3) - F(0.5) * along) - F(0.5) * smooth(0.7, 1.05, along)
    half = look.brow_thickness * (F(1) - F(0.55) * smooth(0.35, 1.05, along))
    # Hairs lean outward, and upward at the inner end.
    lean = F(0.5) + along
    hairs = noise(tile, 2, (side - (y - middle) * lean) * F(0.11) + look.texture[0], y * F(0.03) + along)
    edge = F(1) - abs(y - middle) / half + F(0.18) * hairs
    ends = smooth(-0.12, 0.12, along) * (F(1) - smooth(0.85, 1.08, along))
    covered: Real = look.brow_density * smooth(0, 0.55, edge) * ends * (F(0.9) + F(0.2) * hairs)
    return min(covered, F(1))


@inlined
def _beard(at: Floats) -> Real:
    """Return how much of a full beard grows at a point, 0-1."""
    x, y, z = at[_X], at[_Y], at[_Z]
    line = F(66.8) + F(0.55) * max(F(0), abs(x) - F(3.2))
    area = (F(1) - smooth(line - F(1.4), line, y)) * smooth(59.5, 61.5, y) * smooth(2, 6, z)
    moustache = bump(x, 0, 2.2) * smooth(67.1, 67.5, y) * (F(1) - smooth(67.9, 68.4, y))
    grown: Real = max(area, moustache) * (F(1) - min(F(1), at[_LIPS] * F(2)))
    return grown


@inlined
def _wet(at: Floats, surface: Floats) -> None:
    """Turn skin into the inside of the mouth: red, and the darker the deeper."""
    wet = min(F(1), at[_INSIDE] * F(1.5))
    deep = F(0.25) + F(0.75) * smooth(10, 15, at[_Z])
    surface[0] += wet * (F(0.24) * deep - surface[0])
    surface[1] += wet * (F(0.07) * deep - surface[1])
    surface[2] += wet * (F(0.06) * deep - surface[2])
    surface[OPEN] *= F(1) - wet * (F(0.85) - F(0.4) * deep)
    surface[SHINE] *= F(1) - wet


@inlined
def eye(at: Floats, look: Look, tile: Floats, surface: Floats) -> None:
    """Write the surface of a point of an eyeball: pupil, iris with its dark ring, white."""
    x, y = at[_EYE_X], at[_EYE_Y]
    distance = np.sqrt(x * x + y * y)
    iris, pupil = F(1) - smooth(0.40, 0.45, distance), F(1) - smooth(0.15, 0.19, distance)
    ring = bump(distance, 0.41, 0.05)
    rays = noise(tile, 1, np.arctan2(y, x) * F(0.6), distance * F(0.5)) if iris > 0 else F(0)
    corner = smooth(0.35, 0.95, abs(x))
    surface[0], surface[1], surface[2] = F(0.66), F(0.60) - F(0.14) * corner, F(0.57) - F(0.16) * corner
    for j in range(3):
        tint = look.iris[j] * (F(1.15) + F(0.25) * rays) * (F(1) - F(0.55) * ring)
        surface[j] += iris * (tint - surface[j])
        surface[j] += pupil * (F(0.004) - surface[j])
    # The upper lid and its lashes shade the top of the eyeball.
    surface[OPEN] = F(0.9) - F(0.55) * smooth(0.05, 0.5, y) - F(0.25) * corner
    surface[WRAP], surface[SHINE], surface[GLOSS] = F(0.3), F(0.6), F(180)
    surface[SLOPE_X], surface[SLOPE_Y] = F(0), F(0)


@inlined
def teeth(at: Floats, surface: Floats) -> None:
    """Write the surface of a point of the teeth or of the gums above and below them."""
    x, y, z = at[_X], at[_Y], at[_Z]
    gum = smooth(67.55, 67.75, y) + F(1) - smooth(64.75, 64.95, y)
    gap = abs(np.sin(np.arctan2(x, z - F(9)) * F(12)))  # the teeth stand in an arc around (0, 9)
    tooth = F(0.72) * (F(0.6) + F(0.4) * smooth(0, 0.35, gap))
    surface[0] = tooth + gum * (F(0.40) - tooth)
    surface[1] = tooth * F(0.93) + gum * (F(0.15) - tooth)
    surface[2] = tooth * F(0.80) + gum * (F(0.15) - tooth)
    # Little light reaches the molars.
    lit = F(0.06) + F(0.94) * smooth(11.8, 14.2, z)
    for j in range(3):
        surface[j] *= lit
    surface[OPEN] = F(0.15) + F(0.65) * smooth(11.5, 14.6, z)
    surface[WRAP], surface[SHINE], surface[GLOSS] = F(0), F(0.08), F(40)
    surface[SLOPE_X], surface[SLOPE_Y] = F(0), F(0)


@inlined
def tongue(at: Floats, surface: Floats) -> None:
    """Write the surface of a point of the tongue."""
    surface[0], surface[1], surface[2] = F(0.42), F(0.13), F(0.12)
    surface[OPEN] = F(0.06) + F(0.4) * smooth(8, 13.9, at[_Z])
    surface[WRAP], surface[SHINE], surface[GLOSS] = F(0), F(0.05), F(20)
    surface[SLOPE_X], surface[SLOPE_Y] = F(0), F(0)


@inlined
def lashes(look: Look, surface: Floats) -> None:
    """Write the surface of a lash."""
    for j in range(3):
        surface[j] = look.hair[j] * F(0.25) + F(0.004)
    surface[OPEN], surface[WRAP], surface[SHINE], surface[GLOSS] = F(1), F(0.5), F(0), F(20)
    surface[SLOPE_X], surface[SLOPE_Y] = F(0), F(0)
