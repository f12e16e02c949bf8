"""A person's skin, painted at the vertices: two pigments, grease, and where a beard grows. Compiled."""

# mypy: disable-error-code="call-overload, type-var, arg-type, operator, assignment"
# min() and max() of 32-bit numbers are known to numba alone.

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from ausynth.generators.rendered.curves import F, noises, smooth
from ausynth.generators.rendered.kernels import Triple, kernel
from ausynth.labels import Floats

__all__ = ["HAIR_EDGE", "REGIONS", "Paint", "Whiskers", "paint_skin", "regions", "skin_colour"]

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


REGIONS: Final = ("cheeks", "nose", "below_eye", "chin_spot", "grease", "jaw", "chin", "upper", "lids", "ears")
"""Where on the face something is the case, 0-1 each; see `regions`."""


def regions(vertices_V3: Floats, lips_V: Floats, lids_V: Floats, ears_V: Floats) -> Floats:
    """Return (V, R) float32, the `REGIONS` of the base head's vertices, given their places and painted masks."""
    x_V, y_V, z_V = vertices_V3.T
    side_V, front_V = np.abs(x_V), _smooth(8, 12, z_V)
    cheeks_V = _bump(side_V, 4.4, 2.0) * _bump(y_V, 69.3, 2.2) * front_V
    nose_V = _bump(x_V, 0, 1.3) * _bump(y_V, 69.2, 1.3) * front_V
    grease_V = 0.35 + 0.65 * _bump(x_V, 0, 3.2) * _smooth(74, 77, y_V) * front_V + nose_V
    grease_V += 0.55 * _bump(side_V, 4.2, 1.2) * _bump(y_V, 70.8, 1.0) * front_V
    grease_V += 0.4 * _bump(x_V, 0, 1.2) * _bump(y_V, 63.6, 1.0)
    line_V = 66.6 + 0.62 * np.maximum(0, side_V - 3.2)
    bare_V, deep_V = 1 - _smooth(0.35, 0.85, lips_V), _smooth(10, 12, z_V)
    chin_V = _bump(x_V, 0, 2.1) * (1 - _smooth(65.0, 65.6, y_V)) * _smooth(60.5, 62, y_V) * deep_V
    beside_V = _bump(side_V, 2.9, 0.6) * _smooth(63.5, 64.5, y_V) * (1 - _smooth(66.4, 67.2, y_V)) * deep_V
    columns = {
        "cheeks": cheeks_V,
        "nose": nose_V,
        "below_eye": _bump(side_V, 2.9, 1.5) * _bump(y_V, 71.3, 0.7) * front_V,
        "chin_spot": _bump(x_V, 0, 2.0) * _bump(y_V, 63.5, 1.5) * front_V,
        "grease": np.minimum(grease_V, 1.4),
        "jaw": (1 - _smooth(line_V - 1.6, line_V, y_V)) * _smooth(59.5, 61.5, y_V) * _smooth(1, 4, z_V) * bare_V,
        "chin": np.maximum(chin_V, beside_V) * bare_V,
        "upper": (1 - _smooth(2.4, 3.1, side_V)) * _smooth(66.6, 67.1, y_V) * (1 - _smooth(67.9, 68.5, y_V))
        * deep_V * bare_V,
        "lids": lids_V,
        "ears": ears_V,
    }  # fmt: skip
    return np.stack([columns[name] for name in REGIONS], 1).astype(np.float32)


def _smooth(low: float | Floats, high: float | Floats, value_V: Floats) -> Floats:
    share_V = np.clip((value_V - low) / (np.asarray(high) - low), 0, 1)
    return np.asarray(share_V * share_V * (3 - 2 * share_V))


def _bump(value_V: Floats, middle: float, width: float) -> Floats:
    return np.asarray(np.exp(-(((value_V - middle) / width) ** 2)))


@kernel
def paint_skin(fields_VF: Floats, regions_VR: Floats, paint: Paint, tile: Floats) -> None:
    """Write colour, openness, grease and beard of every vertex, in place; see `paint.FIELDS`."""
    for v in range(len(fields_VF)):
        x, y, z, lips = fields_VF[v, 0], fields_VF[v, 1], fields_VF[v, 11], fields_VF[v, 7]
        coarse, middling, _ = noises(
            tile, (x + F(0.7) * z) * F(0.03) + paint.texture[0], y * F(0.03) + paint.texture[1]
        )
        cheeks, nose, below_eye, spot, grease, jaw, chin, upper, lids, ears = (
            regions_VR[v, 0], regions_VR[v, 1], regions_VR[v, 2], regions_VR[v, 3], regions_VR[v, 4],
            regions_VR[v, 5], regions_VR[v, 6], regions_VR[v, 7], regions_VR[v, 8], regions_VR[v, 9],
        )  # fmt: skip
        blood = F(0.045) * paint.mottling * (coarse + middling) + F(0.42) * cheeks + F(0.38) * nose + F(0.30) * ears
        blood += F(0.25) * spot + F(0.10) * below_eye * paint.tired
        blood = ((paint.blood - F(0.95)) * F(0.6) + blood * paint.blood) / (F(1) + F(0.45) * paint.melanin)
        dark = F(0.05) * paint.mottling * middling + F(0.16) * lids + F(0.22) * below_eye * paint.tired
        amount = lips * paint.lips / (F(1) + F(0.25) * paint.melanin)
        whiskers = paint.whiskers
        shaved = max(jaw, chin, upper) * whiskers.shade * paint.dark_hair
        # What further pigment absorbs: melanin most of blue, blood of green.
        red, green, blue = paint.base
        red *= np.exp(-F(0.55) * dark - F(0.04) * blood - F(0.22) * amount)
        green *= np.exp(-F(0.75) * dark - F(0.42) * blood - F(0.80) * amount)
        blue *= np.exp(-F(0.85) * dark - F(0.36) * blood - F(0.62) * amount)
        fields_VF[v, 2] = red * (F(1) - F(0.42) * shaved)
        fields_VF[v, 3] = green * (F(1) - F(0.34) * shaved)
        fields_VF[v, 4] = blue * (F(1) - F(0.26) * shaved)
        fields_VF[v, 6] = paint.shine * grease
        fields_VF[v, 8] = max(whiskers.jaw * jaw, whiskers.chin * chin, whiskers.upper * upper)
        # Hair keeps light from the skin beside it.
        fields_VF[v, 5] *= F(1) - F(0.35) * smooth(-1.6, 0.2, fields_VF[v, 10])
