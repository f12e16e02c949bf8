"""What the shading knows about each vertex, and the noise that makes surfaces uneven. Computed once, from the head.

Positions are those of the base head ("rest" positions), so that paint moves with the skin.
"""

from __future__ import annotations

import functools
from typing import Final

import numpy as np

from ausynth.generators.rendered.head import Head
from ausynth.labels import Floats

__all__ = ["FIELDS", "NOISE_SIZE", "noise_tile", "vertex_fields"]

NOISE_SIZE: Final = 256

FIELDS: Final = ("x", "y", "z", "openness", "lips", "inside", "lids", "ears", "around", "hair", "eye_x", "eye_y")
"""The columns of `vertex_fields`, in this order:

- x, y, z: rest position, centimetres.
- openness: 0-1, how much light from all around reaches the point.
- lips, inside, lids, ears: 0-1, the painted regions of the base mesh.
- around: centimetres around the head at the cheeks' distance, so that noise is nowhere drawn out.
- hair: centimetres inside the hair's edge, outside negative; a person's own, see `hair.grow_hair`.
- eye_x, eye_y: on an eyeball, the place from its middle when it looks straight ahead, in its radii.
"""


@functools.cache
def vertex_fields(head: Head) -> Floats:
    """Return (V, F) float32, the `FIELDS` of each vertex of a head without hair. Read-only."""
    eye_V2 = np.zeros((len(head.vertices), 2), np.float32)
    for name in ("eye_left", "eye_right"):
        ball = head.vertices_of(name)
        offset_N3 = head.vertices[ball] - head.vertices[ball].mean(0)
        eye_V2[ball] = offset_N3[:, :2] / np.sqrt((offset_N3**2).sum(1)).max()
    # Of the mouth and the eyes the base head, lips closed, knows nothing: the shading sees to them.
    is_hidden_V = (head.masks["inside-mouth"] > 0.5) | (head.masks["lips"] > 0.9)
    is_hidden_V[head.vertices_of(*(name for name in head.material_names if name != "skin"))] = True
    columns = {
        "x": head.vertices[:, 0],
        "y": head.vertices[:, 1],
        "z": head.vertices[:, 2],
        "openness": np.where(is_hidden_V, 1, np.clip(0.1 + head.openness * 1.1, 0, 1)),
        "lips": head.masks["lips"],
        "inside": head.masks["inside-mouth"],
        "lids": head.masks["eyelids"],
        "ears": head.masks["ears"],
        "around": 9 * np.arctan2(head.vertices[:, 0], head.vertices[:, 2] - 4),
        "hair": np.full(len(head.vertices), -9),
        "eye_x": eye_V2[:, 0],
        "eye_y": eye_V2[:, 1],
    }
    fields_VF = np.stack([columns[name] for name in FIELDS], axis=-1).astype(np.float32)
    fields_VF.flags.writeable = False
    return fields_VF


@functools.cache
def noise_tile() -> Floats:
    """Return (256, 256, 3) smooth noise around 0 that repeats without a seam: coarse, middling, fine. Read-only."""
    draw = np.random.Generator(np.random.Philox(20020))
    frequency = np.hypot(np.fft.fftfreq(NOISE_SIZE)[:, None], np.fft.rfftfreq(NOISE_SIZE)[None]) * NOISE_SIZE
    bands = []
    for middle in (4.5, 18.0, 90.0):
        spectrum = np.fft.rfft2(draw.standard_normal((NOISE_SIZE, NOISE_SIZE)))
        band = np.fft.irfft2(spectrum * np.exp(-(((frequency - middle) / (0.45 * middle)) ** 2)), s=(NOISE_SIZE,) * 2)
        bands.append(band / band.std())
    # Rounded, so that the last bits of a machine's Fourier transform do not matter.
    tile = np.round(np.stack(bands, -1), 3).astype(np.float32)
    tile.flags.writeable = False
    return tile
