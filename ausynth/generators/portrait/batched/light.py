"""The light of B pictures: `portrait.light.draw_light` for all at once, and what falls on their surfaces."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ausynth.generators.portrait.bank import harmonics
from ausynth.generators.portrait.batched.draws import streams
from ausynth.generators.portrait.light import BRIGHTEST, DARKEST, RESPONSE, Lamps
from ausynth.labels import Floats

__all__ = ["Lights", "draw_lights", "shade_of"]

Numbers = NDArray[np.float64]


class Lights(NamedTuple):
    """The light of B pictures, as `portrait.light.Light`: weights (B, 9, 3), key (B, 3), key_colour (B, 3)."""

    weights: Floats
    key: Floats
    key_colour: Floats


def draw_lights(noise_B: NDArray[np.int64], amount: float, photo_B93: Floats) -> Lights:
    """Return the lights for noise seeds, see `portrait.light.draw_light`."""
    drawn = np.array([Lamps.drawn(draw) for draw in streams("light", noise_B)], np.float64).reshape(
        -1, len(Lamps._fields)
    )
    lamps = Lamps(*drawn.T)
    share, second, from_sky = (np.asarray(part)[:, None, None] for part in (lamps.share, lamps.second, lamps.from_sky))
    warmth, fill_warmth = np.asarray(lamps.warmth), np.asarray(lamps.fill_warmth)
    key_B3 = _directions(np.asarray(lamps.around), np.asarray(lamps.above))
    second_B3 = _directions(np.asarray(lamps.second_around), np.asarray(lamps.second_above))
    exposure_B = np.exp(0.16 * np.clip(lamps.exposure, -2, 2) - 0.06)
    key_colour_B3 = _temperatures(warmth)
    ambient_B93 = np.zeros((len(drawn), 9, 3), np.float32)
    ambient_B93[:, 0] = _temperatures(fill_warmth)
    ambient_B93[:, 1] = from_sky[:, 0] * _temperatures(fill_warmth - 0.4)
    second_B93 = _lamps(second_B3)[:, :, None] * _temperatures(-fill_warmth)[:, None]
    drawn_B93 = (1 - share) * ((1 - second) * ambient_B93 + second * second_B93)
    drawn_B93 = drawn_B93 + 1.25 * share * _lamps(key_B3)[:, :, None] * key_colour_B3[:, None]
    around, above = np.meshgrid((-40.0, 0.0, 40.0), (-25.0, 10.0, 40.0), indexing="ij")
    front_N9 = harmonics(_directions(around.ravel(), above.ravel()))
    level_B3 = np.clip(np.einsum("nk,bkj->bnj", front_N9.astype(np.float64), drawn_B93), 0.05, None).mean((1, 2))
    drawn_B93 = drawn_B93 / level_B3[:, None, None]
    weights_B93 = (1 - amount) * photo_B93 + amount * exposure_B[:, None, None] * drawn_B93
    if amount == 0:
        around_B3 = photo_B93[:, [3, 1, 7], 1] * np.array([1, 1, 0], np.float32) + np.array([0, 0, 0.5], np.float32)
        key_B3 = around_B3 / np.linalg.norm(around_B3, axis=1, keepdims=True)
    strength_B = amount * np.asarray(lamps.share) * exposure_B + (1 - amount) * 0.1
    seen_B3 = 1 + amount * (key_colour_B3 - 1)
    parts = (weights_B93, key_B3, seen_B3 * strength_B[:, None])
    return Lights(*(np.asarray(part, np.float32) for part in parts))


def _directions(around_B: Numbers, above_B: Numbers) -> Floats:
    a, b = np.radians(around_B), np.radians(above_B)
    return np.stack([np.sin(a) * np.cos(b), np.sin(b), np.cos(a) * np.cos(b)], -1).astype(np.float32)


def _lamps(direction_B3: Floats) -> Floats:
    functions_B9 = harmonics(direction_B3)
    weights_B9 = functions_B9 * RESPONSE
    return np.asarray(weights_B9 / (functions_B9 * weights_B9).sum(1, keepdims=True), np.float32)


def _temperatures(warmth_B: Numbers) -> Floats:
    warmth_B = np.clip(warmth_B, -1.3, 1.3)
    return np.stack([1 + 0.09 * warmth_B, np.ones_like(warmth_B), 1 - 0.13 * warmth_B], -1).astype(np.float32)


def shade_of(normals_BV3: Tensor, weights_B93: Tensor) -> Tensor:
    """Return (B, V, 3) the light that falls on surfaces of unit normals, cut to 0.25-2.5."""
    x, y, z = (part[..., None] for part in normals_BV3.unbind(2))
    w = weights_B93[:, None].unbind(2)
    value = w[0] + w[1] * y + w[2] * z + w[3] * x + w[4] * (x * y) + w[5] * (y * z)
    value = value + w[6] * (3 * z * z - 1) + w[7] * (x * z) + w[8] * (x * x - y * y)
    return torch.clamp(value, DARKEST, BRIGHTEST)
