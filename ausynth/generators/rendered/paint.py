"""What the shading knows about each vertex, and the noise that makes surfaces uneven.

Paint lies in the positions of the base head ("rest" positions), so that it moves with the skin. What changes slowly
over the skin (pigment, blood, grease, where a beard grows) is painted once a person, at the vertices; what is finer
than the mesh is left to the shading.
"""

from __future__ import annotations

import functools
from typing import Final

import numpy as np

from ausynth.generators.rendered.complexion import HAIR_EDGE, Paint, paint_skin, regions
from ausynth.generators.rendered.head import Head
from ausynth.generators.rendered.noises import NOISE_SIZE, grain_tile, noise_tile
from ausynth.labels import Floats

__all__ = ["FIELDS", "NOISE_SIZE", "grain_tile", "noise_tile", "person_fields", "rest_fields"]

FIELDS: Final = ("x", "y", "red", "green", "blue", "open", "grease", "wet", "beard", "inside", "hair", "z")
"""The columns of `person_fields`, for skin, teeth and tongue:

- x, y, z: rest position, centimetres.
- red, green, blue: the bare skin's colour, linear.
- open: 0-1, how much light from all around reaches the point.
- grease: 0-1, how much of the lamp the skin mirrors.
- wet: 0-1, red of the lips.
- beard: 0-1, how densely it grows.
- inside: 0-1, the inside of the mouth.
- hair: centimetres inside the hair's edge, outside negative.

On an eyeball x and y are the place from its middle when it looks straight ahead, in its radii.
"""


@functools.cache
def rest_fields(head: Head) -> tuple[Floats, Floats]:
    """Return (V, F) the `FIELDS` and (V, R) the `complexion.REGIONS` of the base head before anybody is painted."""
    # Of the mouth and the eyes the base head, lips closed, knows nothing: the shading sees to them.
    is_hidden_V = (head.masks["inside-mouth"] > 0.5) | (head.masks["lips"] > 0.9)
    is_hidden_V[head.vertices_of(*(name for name in head.material_names if name != "skin"))] = True
    x_V, y_V, z_V = head.vertices.T
    at_V2 = np.stack([x_V, y_V], 1)
    for name in ("eye_left", "eye_right"):
        ball = head.vertices_of(name)
        offset_N3 = head.vertices[ball] - head.vertices[ball].mean(0)
        at_V2[ball] = offset_N3[:, :2] / np.sqrt((offset_N3**2).sum(1)).max()
    columns = {
        "x": at_V2[:, 0],
        "y": at_V2[:, 1],
        "z": z_V,
        "open": np.where(is_hidden_V, 1, np.clip(0.1 + head.openness * 1.1, 0, 1)),
        "inside": head.masks["inside-mouth"],
        "wet": head.masks["lips"],
    }
    fields_VF = np.zeros((len(head.vertices), len(FIELDS)), np.float32)
    for name, column in columns.items():
        fields_VF[:, FIELDS.index(name)] = column
    regions_VR = regions(head.vertices, head.masks["lips"], head.masks["eyelids"], head.masks["ears"])
    for array in (fields_VF, regions_VR):
        array.flags.writeable = False
    return fields_VF, regions_VR


def person_fields(head: Head, paint: Paint, hair_V: Floats) -> Floats:
    """Return (V, F) float32, the `FIELDS` of each vertex of a person's head.

    Args:
        head: the base head.
        paint: what is painted, see `complexion`.
        hair_V: (V,) centimetres inside the hair's edge.
    """
    rest_VF, regions_VR = rest_fields(head)
    fields_VF = rest_VF.copy()
    fields_VF[:, FIELDS.index("hair")] = np.maximum(hair_V, np.float32(-HAIR_EDGE))
    paint_skin(fields_VF, regions_VR, paint, noise_tile())
    return fields_VF
