"""The light of a picture, drawn from the noise seed."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from ausynth.generators.rendered.draws import stream
from ausynth.generators.rendered.kernels import Triple
from ausynth.generators.rendered.shade import Light

__all__ = ["draw_light"]


_USUAL: Final = 0.32
_HELD_BACK: Final = 0.42


def draw_light(noise: int, light: float, skin: tuple[float, float, float]) -> Light:
    """Return the light for a noise seed.

    Args:
        noise: the seed.
        skin: the colour of the face, linear red-green-blue: cameras expose for it, if not in full.
        light: 0 is always the same soft light from the front, 1 anything from flat to a strong lamp at the side.
    """
    draw = stream("light", noise)
    around, above = np.radians((draw.uniform(-65, 65) * light, 28 + draw.uniform(-28, 30) * light))
    key_3 = np.array([np.sin(around) * np.cos(above), np.sin(above), np.cos(around) * np.cos(above)])
    half_3 = key_3 + np.array([0, 0, 1])
    half_3 /= np.linalg.norm(half_3)
    warmth = draw.uniform(-1, 1) * light
    strength = 0.78 + 0.30 * draw.uniform(-1, 1) * light
    fill = 0.36 + 0.20 * draw.uniform(-1, 1) * light
    brightness = 0.3 * skin[0] + 0.6 * skin[1] + 0.1 * skin[2]
    exposure = (_USUAL / brightness) ** _HELD_BACK * np.exp(0.15 * np.clip(draw.standard_normal(), -2, 1.2) * light)
    key_colour_3 = strength * exposure * np.array([1.02 + 0.08 * warmth, 1.0, 0.97 - 0.11 * warmth])
    sky_3 = fill * exposure * np.array([0.97 - 0.06 * warmth, 1.0, 1.05 + 0.08 * warmth])
    ground_3 = 0.5 * sky_3 * np.array([1.10, 0.97, 0.86])
    return Light(*(_triple(values_3) for values_3 in (key_3, half_3, key_colour_3, sky_3, ground_3)))


def _triple(values: NDArray[np.float64]) -> Triple:
    first, second, third = (np.float32(value) for value in values)
    return first, second, third
