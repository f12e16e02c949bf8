"""The light of a picture, as order-2 spherical harmonics, drawn from the noise seed.

Diffuse light of any kind is a weighted sum of nine functions of the surface's normal within 1 % (Ramamoorthi and
Hanrahan, "An Efficient Representation for Irradiance Environment Maps", 2001); `bank.harmonics` are these functions.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from ausynth.generators.portrait.bank import harmonics
from ausynth.generators.portrait.kernels import kernel
from ausynth.generators.rendered.draws import stream
from ausynth.labels import Floats

__all__ = ["BRIGHTEST", "DARKEST", "RESPONSE", "Lamps", "Light", "draw_light", "lamp", "shade_of"]

DARKEST: Final = 0.25
BRIGHTEST: Final = 2.5

RESPONSE: Final = np.array(
    [0.0796, *[0.2387 * 2 / 3] * 3, 1.1936 / 4, 1.1936 / 4, 0.0995 / 4, 1.1936 / 4, 0.2984 / 4], np.float32
)
"""Of each function: its constant squared, times what a clamped cosine leaves of its band, over pi."""


class Light(NamedTuple):
    """The light of one picture, in the picture's axes.

    Attributes:
        weights: (9, 3) float32 of `bank.harmonics`, linear red, green, blue.
        key: (3,) direction towards the strongest lamp, unit length.
        key_colour: (3,) how bright it is.
    """

    weights: Floats
    key: Floats
    key_colour: Floats


class Lamps(NamedTuple):
    """What is drawn of a picture's light.

    Attributes:
        around, above: of the strongest lamp, degrees.
        share: of the light that comes from it.
        warmth, fill_warmth: of its light and of the rest, see `_temperature`.
        from_sky: how much more of the rest comes from above.
        second_around, second_above: of a second lamp, degrees.
        second: its share of the rest.
        exposure: of the camera, in standard deviations.
    """

    around: float
    above: float
    share: float
    warmth: float
    fill_warmth: float
    from_sky: float
    second_around: float
    second_above: float
    second: float
    exposure: float

    @classmethod
    def drawn(cls, draw: np.random.Generator) -> Lamps:
        """Return them from the stream "light" of a noise seed."""
        around, above = draw.uniform(-75, 75), draw.uniform(-5, 60)
        share = draw.beta(1.6, 2.2) * 0.75
        warmth, fill_warmth = draw.normal(0, 0.6, 2)
        from_sky = draw.uniform(0, 0.35)
        second_around, second_above = draw.uniform(-100, 100), draw.uniform(-20, 40)
        second = draw.uniform(0, 0.25)
        exposure = draw.standard_normal()
        return cls(around, above, share, warmth, fill_warmth, from_sky, second_around, second_above, second, exposure)


def lamp(direction_3: Floats) -> Floats:
    """Return (9,) weights of the light of one distant lamp, as bright as 1 where the surface faces it."""
    functions_9 = harmonics(np.asarray(direction_3, np.float32)[None])[0]
    weights_9 = functions_9 * RESPONSE
    return np.asarray(weights_9 / (functions_9 @ weights_9), np.float32)


def draw_light(noise: int, amount: float, photo_93: Floats) -> Light:
    """Return the light for a noise seed.

    Args:
        noise: the seed.
        amount: 0 is the photograph's own light, 1 anything from flat to a strong lamp at the side.
        photo_93: (9, 3) the photograph's own light.
    """
    lamps = Lamps.drawn(stream("light", noise))
    around, above = np.radians((lamps.around, lamps.above))
    key_3 = np.array([np.sin(around) * np.cos(above), np.sin(above), np.cos(around) * np.cos(above)], np.float32)
    share, second, from_sky = lamps.share, lamps.second, lamps.from_sky
    warmth, fill_warmth = lamps.warmth, lamps.fill_warmth
    second_3 = _direction(lamps.second_around, lamps.second_above)
    exposure = np.exp(0.16 * np.clip(lamps.exposure, -2, 2) - 0.06)
    key_colour_3 = _temperature(warmth)
    ambient_93 = np.zeros((9, 3), np.float32)
    ambient_93[0] = _temperature(fill_warmth)
    ambient_93[1] = from_sky * _temperature(fill_warmth - 0.4)
    drawn_93 = (1 - share) * ((1 - second) * ambient_93 + second * lamp(second_3)[:, None] * _temperature(-fill_warmth))
    drawn_93 = drawn_93 + 1.25 * share * lamp(key_3)[:, None] * key_colour_3
    # As bright over the face as the photograph, whatever the lamps: a camera's automatic exposure sees to that.
    front_N9 = harmonics(np.stack([_direction(a, b) for a in (-40, 0, 40) for b in (-25, 10, 40)]))
    drawn_93 = drawn_93 / np.clip(front_N9 @ drawn_93, 0.05, None).mean()
    weights_93 = ((1 - amount) * photo_93 + amount * exposure * drawn_93).astype(np.float32)
    if amount == 0:
        around_3 = photo_93[[3, 1, 7], 1] * np.array([1, 1, 0], np.float32) + np.array([0, 0, 0.5], np.float32)
        key_3 = (around_3 / np.linalg.norm(around_3)).astype(np.float32)
    strength = np.float32(amount * share * exposure + (1 - amount) * 0.1)
    seen_3 = 1 + np.float32(amount) * (key_colour_3 - 1)
    return Light(weights_93, key_3, (seen_3 * strength).astype(np.float32))


def _direction(around: float, above: float) -> Floats:
    a, b = np.radians((around, above))
    return np.array([np.sin(a) * np.cos(b), np.sin(b), np.cos(a) * np.cos(b)], np.float32)


def _temperature(warmth: float) -> Floats:
    """Return a light's colour as white balance leaves it: 0 white, 1 a lamp in a living room, -1 a blue sky."""
    warmth = float(np.clip(warmth, -1.3, 1.3))
    return np.array([1 + 0.09 * warmth, 1.0, 1 - 0.13 * warmth], np.float32)


@kernel
def shade_of(normals_V3: Floats, weights_93: Floats, shade_V3: Floats) -> None:
    """Write the light that falls on surfaces of unit normals (V, 3), cut to 0.25-2.5."""
    three, one = np.float32(3), np.float32(1)
    low, high = np.float32(DARKEST), np.float32(BRIGHTEST)
    for i in range(len(normals_V3)):
        x, y, z = normals_V3[i, 0], normals_V3[i, 1], normals_V3[i, 2]
        xy, yz, zz, xz, xx = x * y, y * z, three * z * z - one, x * z, x * x - y * y
        for j in range(3):
            w = weights_93
            value = (
                w[0, j] + w[1, j] * y + w[2, j] * z + w[3, j] * x + w[4, j] * xy + w[5, j] * yz
                + w[6, j] * zz + w[7, j] * xz + w[8, j] * xx
            )  # fmt: skip
            shade_V3[i, j] = min(max(value, low), high)
