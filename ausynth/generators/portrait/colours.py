"""Colours of photographs from several studios, brought closer together before people are mixed."""

from __future__ import annotations

import dataclasses
from typing import Final

import numpy as np

from ausynth.generators.portrait.bank import BankFace
from ausynth.generators.portrait.mixing import inner_face
from ausynth.generators.portrait.pixels import LINEAR, encoded, halved, lab_of, linear, rgb_of
from ausynth.generators.portrait.topology import Topology

__all__ = ["balanced", "muted"]

_MOST_CHROMA: Final = 21.0  # of skin: studios with better cameras show 8 to 20
_LEAST_WALL: Final = 0.02  # of the photograph: less of a wall is no measure


def balanced(face: BankFace) -> BankFace:
    """Return a person with the photograph's white balance set by the wall behind, where that is plain and nearly gray.

    People of several studios stand side by side in a bank, and are mixed: a pink cast would be a property of theirs.
    """
    wall_N3 = linear(face.photo[face.matte == 0])
    if len(wall_N3) < _LEAST_WALL * face.matte.size:
        return face
    wall_3 = np.median(wall_N3, axis=0)
    if wall_3.min() < 0.03 or wall_3.max() > 2 * wall_3.min():
        return face
    gains_3 = np.clip((wall_3.mean() / wall_3) ** 0.9, 0.8, 1.25)
    gains_3 /= gains_3 @ np.array([0.2126, 0.7152, 0.0722])
    table_256x3 = np.rint(encoded(LINEAR[:, None] * gains_3)).astype(np.uint8)
    texture, photo = (
        np.stack([table_256x3[image[..., k], k] for k in range(3)], -1) for image in (face.texture, face.photo)
    )
    return dataclasses.replace(face, texture=texture, photo=photo)


def muted(face: BankFace, topology: Topology) -> BankFace:
    """Return a person whose skin has a CIE L*a*b* chroma of about 21 at most, whatever the camera made of it."""
    small = halved(face.texture, 2)
    inner_N3 = lab_of(small)[inner_face(topology, small.shape[0]).texture > 0.5]
    chroma = float(np.hypot(*inner_N3[:, 1:].mean(0)))
    if chroma <= _MOST_CHROMA:
        return face
    keep = np.float32((_MOST_CHROMA / chroma) ** 0.85)
    images = []
    for image in (face.texture, face.photo):
        lab = lab_of(image)
        lab[..., 1:] *= keep
        images.append(np.clip(rgb_of(lab) * 255 + 0.5, 0, 255).astype(np.uint8))
    return dataclasses.replace(face, texture=images[0], photo=images[1])
