"""A person's skin, painted at the vertices: two pigments, grease, and where a beard grows. Compiled."""

# mypy: disable-error-code="call-overload, type-var, arg-type, operator, assignment"
# min() and max() of 32-bit numbers are known to numba alone.

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from ausynth.generators.rendered.curves import F, bump, noises, smooth
from ausynth.generators.rendered.kernels import Real, Triple, inlined, kernel
from ausynth.labels import Floats

__all__ = ["HAIR_EDGE", "Paint", "Whiskers", "paint_skin", "skin_colour"]

HAIR_EDGE: Final = 4.0
"""Further outside the hair's edge than this, in centimetres, nothing is known of it."""

# Skin in even light by how much melanin it holds: sRGB, chosen by eye beside photographs of people of many origins.
_PALETTE: Final = (
    (0.05, (244, 208, 188)),
    (0.25, (233, 191, 166)),
    (0.50, (219, 171, 140)),
    (0.85, (192, 144, 113)),
    (1.25, (158, 113, 86)),
    (1.75, (118, 82, 62)),
    (2.40, (82, 57, 45)),
)


class Whiskers(NamedTuple):
    """Where a beard grows, 0-1 each: whiskers on cheeks and jaw, chin, upper lip; and the shade of shaved ones."""

    jaw: np.float32
    chin: np.float32
    upper: np.float32
    shade: np.float32


class Paint(NamedTuple):
    """What is painted.

    Attributes:
        base: the skin's colour, linear.
        melanin, blood: how much of each pigment it holds.
        lips: how much redder than the skin they are.
        mottling: 0-1, how uneven the skin is.
        shine: 0-1, how greasy.
        tired: 0-1, how dark it is below the eyes.
        whiskers: where a beard grows.
        dark_hair: 0-1, how dark its hairs are.
        texture: where in the noise this person's skin lies.
    """

    base: Triple
    melanin: np.float32
    blood: np.float32
    lips: np.float32
    mottling: np.float32
    shine: np.float32
    tired: np.float32
    whiskers: Whiskers
    dark_hair: np.float32
    texture: tuple[np.float32, np.float32]


def skin_colour(melanin: float) -> tuple[float, float, float]:
    """Return the colour (linear red-green-blue) of skin that holds so much melanin, 0.05-2.4."""
    amounts, colours = zip(*_PALETTE, strict=True)
    logs = np.log((np.array(colours) / 255) ** 2.2)
    red, green, blue = (float(np.exp(np.interp(melanin, amounts, logs[:, j]))) for j in range(3))
    return red, green, blue


@kernel
def paint_skin(fields_VF: Floats, lids_V: Floats, ears_V: Floats, paint: Paint, tile: Floats) -> None:
    """Write colour, openness, grease and beard of every vertex, in place; see `paint.FIELDS`."""
    for v in range(len(fields_VF)):
        x, y, z, lips = fields_VF[v, 0], fields_VF[v, 1], fields_VF[v, 11], fields_VF[v, 7]
        coarse, middling, _ = noises(tile, (x + F(0.7) * z) * F(0.03) + paint.texture[0], y * F(0.03) + paint.texture[1])
        side = abs(x)
        front = smooth(8, 12, z)
        cheeks = bump(side, 4.4, 2.0) * bump(y, 69.3, 2.2) * front
        nose = bump(x, 0, 1.3) * bump(y, 69.2, 1.3) * front
        below_eye = bump(side, 2.9, 1.5) * bump(y, 71.3, 0.7) * front
        blood = F(0.065) * paint.mottling * (coarse + middling) + F(0.42) * cheeks + F(0.38) * nose + F(0.30) * ears_V[v]
        blood += F(0.25) * bump(x, 0, 2.0) * bump(y, 63.5, 1.5) * front + F(0.10) * below_eye * paint.tired
        blood = ((paint.blood - F(0.95)) * F(0.6) + blood * paint.blood) / (F(1) + F(0.45) * paint.melanin)
        dark = F(0.05) * paint.mottling * middling + F(0.16) * lids_V[v] + F(0.22) * below_eye * paint.tired
        red, green, blue = paint.base
        # What further pigment absorbs: melanin most of blue, blood of green.
        red *= np.exp(-F(0.55) * dark - F(0.04) * blood)
        green *= np.exp(-F(0.75) * dark - F(0.42) * blood)
        blue *= np.exp(-F(0.85) * dark - F(0.36) * blood)
        if lips > 0:
            amount = lips * paint.lips / (F(1) + F(0.25) * paint.melanin)
            red *= np.exp(-F(0.22) * amount)
            green *= np.exp(-F(0.80) * amount)
            blue *= np.exp(-F(0.62) * amount)
        grown, shaved = _whiskers(x, y, z, lips, paint.whiskers)
        shaved *= paint.dark_hair
        fields_VF[v, 2] = red * (F(1) - F(0.42) * shaved)
        fields_VF[v, 3] = green * (F(1) - F(0.34) * shaved)
        fields_VF[v, 4] = blue * (F(1) - F(0.26) * shaved)
        fields_VF[v, 8] = grown
        greasy = F(0.35) + F(0.65) * bump(x, 0, 3.2) * smooth(74, 77, y) * front + F(1.0) * nose
        greasy += F(0.55) * bump(side, 4.2, 1.2) * bump(y, 70.8, 1.0) * front + F(0.4) * bump(x, 0, 1.2) * bump(y, 63.6, 1.0)
        fields_VF[v, 6] = paint.shine * min(greasy, F(1.4))
        # Hair keeps light from the skin beside it.
        near = smooth(-1.6, 0.2, fields_VF[v, 10])
        fields_VF[v, 5] *= F(1) - F(0.35) * near


@inlined
def _whiskers(x: Real, y: Real, z: Real, lips: Real, whiskers: Whiskers) -> tuple[Real, Real]:
    """Return how densely a beard grows at a rest position, and how much of a shaved one's shade there is."""
    side = abs(x)
    line = F(66.6) + F(0.62) * max(F(0), side - F(3.2))
    jaw = (F(1) - smooth(line - F(1.6), line, y)) * smooth(59.5, 61.5, y) * smooth(1, 4, z)
    chin = bump(x, 0, 2.1) * (F(1) - smooth(65.0, 65.6, y)) * smooth(60.5, 62, y) * smooth(10, 12, z)
    beside = bump(side, 2.9, 0.6) * smooth(63.5, 64.5, y) * (F(1) - smooth(66.4, 67.2, y)) * smooth(10, 12, z)
    upper = (F(1) - smooth(2.4, 3.1, side)) * smooth(66.6, 67.1, y) * (F(1) - smooth(67.9, 68.5, y)) * smooth(10, 12, z)
    bare = F(1) - smooth(0.35, 0.85, lips)
    both = max(chin, beside)
    grown = max(max(whiskers.jaw * jaw, whiskers.chin * both), whiskers.upper * upper) * bare
    shade = max(max(jaw, both), upper) * bare * whiskers.shade
    return grown, shade
