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
    "strands",
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


class Look(NamedTuple):
    """What of a person the materials show; see `identity.Traits`."""

    cover: np.float32
    brow_density: np.float32
    brow_thickness: np.float32
    brow_height: np.float32
    brow_arch: np.float32
    brow_length: np.float32
    mottling: np.float32
    freckles: np.float32
    stubble: np.float32
    curl: np.float32
    streaks: np.float32
    hair: Triple
    beard: Triple
    brow: Triple
    iris: Triple
    cloth: Triple
    cloth_low: np.float32
    texture: tuple[np.float32, np.float32]


@inlined
def skin(at: Floats, look: Look, grooves_HW: Floats, tile: Floats, detail: Real, surface: Floats) -> None:  # noqa: PLR0917
    """Write the surface of a point of the skin: bare, or covered by hair or cloth, or inside the mouth."""
    x, y, z, lips = at[0], at[1], at[11], at[7]
    u = x + F(0.7) * z
    _, middling, fine = noises(tile, u * F(0.035) + look.texture[0], y * F(0.035) + look.texture[1])
    uneven = look.mottling * (F(0.030) * middling + F(0.045) * fine)
    surface[0] = at[2] * (F(1) + F(0.6) * uneven)
    surface[1] = at[3] * (F(1) + uneven)
    surface[2] = at[4] * (F(1) + uneven)
    if look.freckles > 0:
        spot = look.freckles * max(F(0), fine - F(0.9)) * smooth(66, 68, y) * smooth(8, 12, z)
        surface[0] *= F(1) - F(0.25) * spot
        surface[1] *= F(1) - F(0.42) * spot
        surface[2] *= F(1) - F(0.5) * spot
    surface[WRAP] = F(0.22)
    # Grease lies in patches: a highlight over skin is broken, one over plastic is not.
    surface[SHINE] = at[6] * F(0.07) * max(F(0.1), F(1) + F(0.35) * fine + F(0.30) * middling) + F(0.10) * lips
    surface[GLOSS] = F(16) + F(30) * lips
    surface[OPEN] = at[5]
    surface[SLOPE_X], surface[SLOPE_Y] = F(0), F(0)
    if detail > 0:
        # Pores, where the picture is fine enough to show them.
        i = noise(tile, 2, u * F(0.16) + F(0.37), y * F(0.16))
        surface[SLOPE_X] = detail * F(0.05) * i
        surface[SLOPE_Y] = detail * F(0.05) * noise(tile, 2, u * F(0.16), y * F(0.16) + F(0.53))
        for j in range(3):
            surface[j] *= F(1) + detail * F(0.03) * i
    if lips > 0:
        # The red's fine upright lines.
        line = noise(tile, 2, x * F(0.06) + look.texture[1], y * F(0.012))
        surface[SLOPE_X] += F(0.16) * lips * line
        for j in range(3):
            surface[j] *= F(1) + F(0.07) * lips * line
    if z > F(6):
        depth, slope_x, slope_y = groove(grooves_HW, x, y)
        surface[SLOPE_X] += F(2.6) * slope_x
        surface[SLOPE_Y] += F(2.6) * slope_y
        keep = F(1) - min(F(0.55), F(0.30) * max(F(0), depth))
        surface[0] *= F(0.42) + F(0.58) * keep
        surface[1] *= keep
        surface[2] *= keep
        surface[SHINE] *= keep
    # Single hairs, where the picture is fine enough to show them: elsewhere they would be dots.
    hairs = F(0.35) + F(0.65) * min(F(1), F(2) * detail)
    _grow(at, look, tile, middling, fine, hairs, surface)
    if at[9] > 0:
        _wet(at, surface)
    if y < F(64):
        collar = F(56.6) + F(0.12) * z + F(0.022) * x * x - look.cloth_low * max(F(0), F(1) - abs(x) / F(5.5)) * F(4.5)
        cloth = F(1) - smooth(collar - F(0.12), collar + F(0.12), y)
        if cloth > 0:
            weave = F(1) + F(0.05) * middling + F(0.03) * fine - F(0.25) * bump(y, collar - F(0.5), 0.18)
            for j in range(3):
                surface[j] += cloth * (look.cloth[j] * weave - surface[j])
            surface[SHINE] *= F(1) - cloth


@inlined
def _grow(  # noqa: PLR0917
    at: Floats, look: Look, tile: Floats, middling: Real, fine: Real, hairs: Real, surface: Floats
) -> None:
    """Lay brows, beard and the scalp's hair over the skin."""
    x, y, z = at[0], at[1], at[11]
    if z > F(10) and F(73) < y < F(78):
        brow = _brow(x, y, look, tile, hairs)
        for j in range(3):
            surface[j] += brow * (look.brow[j] - surface[j])
        surface[SHINE] *= F(1) - brow
    grown = at[8]
    if grown > 0 and at[9] < F(0.5):
        # Stubble is a shade with dots, a long beard is strands that hang; both thin out towards their edge.
        strand = hairs * noise(
            tile, 2, (x + F(0.7) * z) * F(0.11) + look.texture[0], y * (F(0.02) + F(0.09) * look.stubble)
        )
        thick = smooth(0.08, 0.85, grown * (F(0.92) + F(0.13) * strand + F(0.12) * middling))
        thick *= F(0.93) - F(0.42) * look.stubble
        shade = F(1) + F(0.16) * strand + F(0.12) * middling
        for j in range(3):
            surface[j] += thick * (look.beard[j] * shade - surface[j])
        surface[SHINE] *= F(1) - F(0.8) * thick
        surface[OPEN] *= F(1) - F(0.15) * thick
        surface[SLOPE_X] += F(0.22) * thick * strand
    edge = at[10] + F(0.22) * fine + F(0.18) * middling
    if look.cover > 0 and edge > F(-0.6):
        cover = look.cover * smooth(-0.6, 0.7, edge)
        strands_ = F(1) + F(0.2) * noise(tile, 2, (x + F(0.7) * z) * F(0.1), (y + z) * F(0.03))
        for j in range(3):
            surface[j] += cover * (look.hair[j] * strands_ - surface[j])
        surface[SHINE] *= F(1) - F(0.7) * cover


@inlined
def _brow(x: Real, y: Real, look: Look, tile: Floats, single: Real) -> Real:
    """Return how much of the skin at a rest position the brow's hair covers, 0-1."""
    side = abs(x)
    along = (side - F(1.2)) / (F(4.3) * look.brow_length)  # 0 at the inner, 1 at the outer end
    if along < F(-0.15) or along > F(1.1):
        return F(0)
    middle = F(74.70) + look.brow_height + F(0.15) * along
    middle += look.brow_arch * (bump(along, 0.62, 0.3) - F(0.5) * along) - F(0.45) * smooth(0.7, 1.05, along)
    half = look.brow_thickness * (F(1) - F(0.62) * smooth(0.30, 1.05, along))
    # Hairs lean outward, and upward at the inner end.
    lean = F(0.35) + F(1.3) * along
    hairs = single * noise(tile, 2, (side - (y - middle) * lean) * F(0.13) + look.texture[0], y * F(0.02) + along)
    edge = F(1) - abs(y - middle) / half + F(0.15) * hairs
    ends = smooth(-0.12, 0.16, along) * (F(1) - smooth(0.80, 1.08, along))
    covered: Real = look.brow_density * smooth(0, 0.85, edge) * ends * (F(0.92) + F(0.14) * hairs)
    return min(max(covered, F(0)), F(1))


@inlined
def _wet(at: Floats, surface: Floats) -> None:
    """Turn skin into the inside of the mouth: red, and the darker the deeper."""
    wet = min(F(1), at[9] * F(1.5))
    deep = F(0.20) + F(0.80) * smooth(10.5, 15, at[11])
    surface[0] += wet * (F(0.30) * deep - surface[0])
    surface[1] += wet * (F(0.09) * deep - surface[1])
    surface[2] += wet * (F(0.08) * deep - surface[2])
    surface[OPEN] *= F(1) - wet * (F(0.85) - F(0.45) * deep)
    surface[SHINE] *= F(1) - wet


@inlined
def strands(at: Floats, look: Look, tile: Floats, surface: Floats) -> None:
    """Write the surface of a point of the hair's shell; `at` holds across, along, tip and open as `shade` says."""
    u, v = at[0] * F(0.045) + look.texture[0], at[1] * (F(0.004) + F(0.045) * look.curl) + look.texture[1]
    coarse, middling, fine = noises(tile, u, v)
    lock = F(1) + look.streaks * (F(0.20) * middling + F(0.26) * fine + F(0.08) * coarse)
    lock = max(lock, F(0.25))
    root = F(0.70) + F(0.30) * smooth(0, 3, at[1])
    for j in range(3):
        surface[j] = look.hair[j] * lock * root
    surface[OPEN] = at[5]
    surface[WRAP] = F(0.25)
    surface[SHINE] = (F(0.05) + F(0.10) * (F(1) - look.curl)) * max(F(0), F(1) + F(0.5) * fine)
    surface[GLOSS] = F(0.12) * middling + F(0.10) * fine  # where along the strand the highlight lies
    surface[SLOPE_X], surface[SLOPE_Y] = F(0.30) * fine + F(0.22) * middling, F(0.25) * look.curl * middling


@inlined
def eye(at: Floats, look: Look, tile: Floats, surface: Floats) -> None:
    """Write the surface of a point of an eyeball: pupil, iris with its dark ring, white."""
    x, y = at[0], at[1]
    distance = np.sqrt(x * x + y * y)
    iris, pupil = F(1) - smooth(0.415, 0.465, distance), F(1) - smooth(0.16, 0.20, distance)
    ring = bump(distance, 0.43, 0.055)
    rays = noise(tile, 1, np.arctan2(y, x) * F(0.6), distance * F(0.5)) if iris > 0 else F(0)
    corner = smooth(0.35, 0.95, abs(x))
    surface[0], surface[1], surface[2] = F(0.60), F(0.55) - F(0.12) * corner, F(0.52) - F(0.14) * corner
    for j in range(3):
        tint = look.iris[j] * (F(1.15) + F(0.30) * rays) * (F(1) - F(0.6) * ring)
        surface[j] += iris * (tint - surface[j])
        surface[j] += pupil * (F(0.004) - surface[j])
    # The upper lid and its lashes shade the top of the eyeball.
    surface[OPEN] = F(0.85) - F(0.60) * smooth(0.0, 0.48, y) - F(0.30) * corner
    surface[WRAP], surface[SHINE], surface[GLOSS] = F(0.3), F(0.55), F(220)
    surface[SLOPE_X], surface[SLOPE_Y] = F(0), F(0)


@inlined
def teeth(at: Floats, surface: Floats) -> None:
    """Write the surface of a point of the teeth or of the gums above and below them."""
    x, y, z = at[0], at[1], at[11]
    gum = smooth(67.55, 67.75, y) + F(1) - smooth(64.75, 64.95, y)
    gap = abs(np.sin(np.arctan2(x, z - F(9)) * F(12)))  # the teeth stand in an arc around (0, 9)
    tooth = F(0.86) * (F(0.66) + F(0.34) * smooth(0, 0.35, gap))
    surface[0] = tooth + gum * (F(0.40) - tooth)
    surface[1] = tooth * F(0.92) + gum * (F(0.15) - tooth)
    surface[2] = tooth * F(0.78) + gum * (F(0.15) - tooth)
    # Little light reaches the molars.
    lit = F(0.06) + F(0.94) * smooth(11.8, 14.2, z)
    for j in range(3):
        surface[j] *= lit
    surface[OPEN] = F(0.30) + F(0.70) * smooth(11.5, 14.2, z)
    surface[WRAP], surface[SHINE], surface[GLOSS] = F(0), F(0.10), F(60)
    surface[SLOPE_X], surface[SLOPE_Y] = F(0), F(0)


@inlined
def tongue(at: Floats, surface: Floats) -> None:
    """Write the surface of a point of the tongue."""
    surface[0], surface[1], surface[2] = F(0.46), F(0.16), F(0.15)
    surface[OPEN] = F(0.06) + F(0.45) * smooth(8, 13.9, at[11])
    surface[WRAP], surface[SHINE], surface[GLOSS] = F(0), F(0.06), F(30)
    surface[SLOPE_X], surface[SLOPE_Y] = F(0), F(0)


@inlined
def lashes(look: Look, surface: Floats) -> None:
    """Write the surface of a lash."""
    for j in range(3):
        surface[j] = look.brow[j] * F(0.25) + F(0.004)
    surface[OPEN], surface[WRAP], surface[SHINE], surface[GLOSS] = F(1), F(0.5), F(0), F(20)
    surface[SLOPE_X], surface[SLOPE_Y] = F(0), F(0)
