"""The light and the background of a picture, drawn from the noise seed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ausynth.generators.rendered.draws import stream
from ausynth.generators.rendered.kernels import Triple
from ausynth.generators.rendered.shade import Light

__all__ = ["draw_light"]


def draw_light(noise: int, light: float, background: float) -> Light:
    """Return the light for a noise seed.

    Args:
        noise: the seed.
        light: 0 is always the same soft light from the front, 1 anything from flat to a strong lamp at the side.
        background: 0 is always the same gray, 1 any plain colour, brighter at one end.
    """
    draw = stream("light", noise)
    around, above = np.radians((draw.uniform(-65, 65) * light, 20 + draw.uniform(-25, 40) * light))
    key_3 = np.array([np.sin(around) * np.cos(above), np.sin(above), np.cos(around) * np.cos(above)])
    warmth = draw.uniform(-1, 1) * light
    strength = 0.75 + 0.3 * draw.uniform(-1, 1) * light
    fill = 0.5 + 0.25 * draw.uniform(-1, 1) * light
    exposure = np.exp(0.14 * draw.standard_normal() * light)
    key_colour_3 = strength * exposure * np.array([1 + 0.10 * warmth, 1.0, 1 - 0.14 * warmth])
    sky_3 = fill * exposure * np.array([0.98 - 0.06 * warmth, 1.0, 1.04 + 0.08 * warmth])
    ground_3 = 0.5 * sky_3 * np.array([1.05, 0.98, 0.92])
    draw = stream("background", noise)
    colour_3 = 0.22 + background * (np.exp(draw.uniform(-2.2, 0.9)) * 0.3 - 0.22)
    tint_3 = 1 + 0.35 * background * draw.uniform(-1, 1, 3)
    slope = 0.35 * background * draw.uniform(-1, 1)
    background_23 = np.clip(np.stack([colour_3 * tint_3 * (1 + slope), colour_3 * tint_3 * (1 - slope)]), 0, 1)
    upper, lower = background_23
    return Light(
        key=_triple(key_3),
        key_colour=_triple(key_colour_3),
        sky=_triple(sky_3),
        ground=_triple(ground_3),
        background=(_triple(upper), _triple(lower)),
    )


def _triple(values: NDArray[np.float64]) -> Triple:
    first, second, third = (np.float32(value) for value in values)
    return first, second, third
