"""New people from several: the inner faces of some, laid over another's head.

Legend of the shapes: V vertices of the topology, S the height and width of the texture.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from ausynth.generators.portrait.kernels import Real, kernel
from ausynth.generators.portrait.layer import Layer
from ausynth.generators.portrait.pixels import Pixels, rgb_of
from ausynth.generators.portrait.raster import clear, rasterise
from ausynth.generators.portrait.topology import Topology
from ausynth.labels import Floats

__all__ = ["Known", "inner_box", "inner_face", "mixed_texture", "mixed_vertices"]


@dataclass(frozen=True, eq=False)
class Known:
    """What is kept of a bank's person; `lab`: the texture around the inner face in CIE L*a*b*, its mean and spread."""

    vertices: Floats
    texture: Pixels
    layer: Layer
    light: Floats
    eyes: Floats
    age: float
    lab: Floats
    mean: Floats
    spread: Floats


@dataclass(frozen=True, eq=False)
class Masks:
    """Where the inner face is, 0-1: (V,) of the vertices, and (S, S) of the texture."""

    vertices: Floats
    texture: Floats


@functools.lru_cache(maxsize=8)
def inner_face(topology: Topology, size: int) -> Masks:
    """Return where the inner face is, for a texture of `size` texels; shared, not to be written to."""
    x, y, z = topology.rest.T
    away = np.sqrt((x / 6.2) ** 2 + ((y - 0.6) / 8.4) ** 2)
    share = np.clip((1.0 - away) / 0.30, 0, 1) * np.clip((z - 3.5) / 2.5, 0, 1)
    mask_V = (share * share * (3 - 2 * share)).astype(np.float32)
    mask_V[topology.skin :] = 1  # eyeballs and jaws move as wholes, and are well inside
    # Seen from above its own plane, the texture is a picture of the mesh.
    corners_TK2 = topology.uv[: topology.outer][topology.kinds[: topology.outer] == 0]
    triangles_T3 = topology.triangles[: topology.outer][topology.kinds[: topology.outer] == 0]
    flat_N3 = np.ones((3 * len(corners_TK2), 3), np.float32)
    flat_N3[:, :2] = corners_TK2.reshape(-1, 2) * size
    numbers = np.arange(len(flat_N3), dtype=np.int32).reshape(-1, 3)
    nearest, triangle = np.zeros((size, size), np.float32), np.zeros((size, size), np.int32)
    weights = np.zeros((size, size, 2), np.float32)
    box = np.array([0, size - 1, 0, size - 1], np.int32)
    values_T3 = mask_V[triangles_T3]
    clear(nearest, triangle)
    rasterise(flat_N3, numbers, 0, len(numbers), box, nearest, triangle, weights)
    if (triangle >= 0).mean() < 0.2:  # the texture is a mirror image of the mesh: its triangles show their backs
        numbers, values_T3 = np.ascontiguousarray(numbers[:, [0, 2, 1]]), values_T3[:, [0, 2, 1]]
        rasterise(flat_N3, numbers, 0, len(numbers), box, nearest, triangle, weights)
    at_HW3 = values_T3[np.maximum(triangle, 0)]
    b, c = weights[..., 0], weights[..., 1]
    mask_HW = at_HW3[..., 0] * (1 - b - c) + at_HW3[..., 1] * b + at_HW3[..., 2] * c
    return Masks(mask_V, np.where(triangle >= 0, mask_HW, 0).astype(np.float32))


def mixed_vertices(
    topology: Topology, mask_V: Floats, base: Known, others: list[Known], shares: tuple[float, ...]
) -> Floats:
    """Return (V, 3) the base's neutral vertices with a share of the others' inner faces."""
    mixed_V3 = base.vertices.copy()
    for other, share in zip(others, shares, strict=True):
        # Faces laid over each other at the eyes and the mouth, so that outlines do not pull the inner face about.
        middle_3 = (other.vertices - base.vertices)[topology.landmarks[17:]].mean(0)
        mixed_V3 += (np.float32(share) * mask_V)[:, None] * (other.vertices - base.vertices - middle_3)
    return np.asarray(mixed_V3, np.float32)


def mixed_texture(mask_HW: Floats, base: Known, others: list[Known], shares: tuple[float, ...]) -> Pixels:
    """Return the base's texture with the others' inner faces mixed in, their colours matched in CIE L*a*b*."""
    top, bottom, left, right = inner_box(mask_HW)
    mixed = base.lab.copy()
    share_HW = np.ascontiguousarray(mask_HW[top:bottom, left:right])
    for other, share in zip(others, shares, strict=True):
        scale_3 = np.clip(base.spread / np.maximum(other.spread, np.float32(1e-3)), 0.7, 1.3).astype(np.float32)
        shift_3 = (base.mean - other.mean * scale_3).astype(np.float32)
        _mix(mixed, base.lab, other.lab, share_HW, np.float32(share), scale_3, shift_3)
    colours = rgb_of(mixed)
    texture = base.texture.copy()
    _write(texture, colours, top, left)
    return texture


@kernel
def _mix(  # noqa: PLR0917
    mixed: Floats, base: Floats, other: Floats, mask_HW: Floats, share: Real, scale_3: Floats, shift_3: Floats
) -> None:
    for row in range(mixed.shape[0]):
        for column in range(mixed.shape[1]):
            part = share * mask_HW[row, column]
            if part > 0:
                for k in range(3):
                    matched = other[row, column, k] * scale_3[k] + shift_3[k]
                    mixed[row, column, k] += part * (matched - base[row, column, k])


@kernel
def _write(texture: Pixels, colours: Floats, top: int, left: int) -> None:
    for row in range(colours.shape[0]):
        for column in range(colours.shape[1]):
            for k in range(3):
                value = min(
                    max(colours[row, column, k] * np.float32(255) + np.float32(0.5), np.float32(0)), np.float32(255)
                )
                texture[top + row, left + column, k] = np.uint8(value)


def inner_box(mask_HW: Floats) -> tuple[int, int, int, int]:
    """Return (top, bottom, left, right) of what is not 0; bottom and right are one beyond."""
    rows, columns = np.flatnonzero(mask_HW.any(1)), np.flatnonzero(mask_HW.any(0))
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
