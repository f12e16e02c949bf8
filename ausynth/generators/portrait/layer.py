"""Hair, ears and neck: the photograph on a coarse grid in depth, carried along by the face.

Legend of the shapes: G nodes of the grid, T its triangles, K anchors that carry a node, H x W pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from ausynth.generators.portrait.bank import BankFace, harmonics
from ausynth.generators.portrait.ict import IctHead
from ausynth.generators.portrait.kernels import Integers, kernel
from ausynth.generators.portrait.light import BRIGHTEST, DARKEST
from ausynth.generators.portrait.pixels import Pixels, blurred, halved
from ausynth.generators.portrait.raster import clear, rasterise
from ausynth.generators.portrait.topology import Topology
from ausynth.labels import Floats

__all__ = ["Layer", "carry", "make_layer"]

_CELL: Final = 6.4  # pixels of a photograph of 256
_SIDES, _ABOVE, _BELOW = 0.12, 0.16, 0.30  # how far the grid reaches beyond the photograph, as a share of its size
_CARRIERS: Final = 10
_REACH_CM: Final = 1.8  # of an anchor's pull
_FURTHEST_CM: Final = 3.0  # from the face: beyond, nothing moves with it


@dataclass(frozen=True, eq=False)
class Layer:
    """The photograph as a sheet in depth around a person's head.

    Attributes:
        nodes: (G, 3) float32 centimetres, in the axes of the neutral head.
        normals: (G, 3) float32.
        triangles: (T, 3) int32: those that show something and are not wholly behind the face.
        places: (G, 2) float32: column and row in `picture`, pixel centres at one half.
        picture: (H, W, 4) uint8: the person's own colours (sRGB) and how opaque they are.
        lit: (G, 3) float32: the photograph's own light at each node, 0.25-2.5.
        carriers: (G, K) int32: numbers of the topology's anchors.
        pulls: (G, K) float32: how much of each anchor's movement a node follows.
    """

    nodes: Floats
    normals: Floats
    triangles: Integers
    places: Floats
    picture: Pixels
    lit: Floats
    carriers: Integers
    pulls: Floats


def make_layer(face: BankFace, head: IctHead, topology: Topology, shrink: int = 1) -> Layer:
    """Return the layer of a bank's person; `shrink` halves the picture's size that often."""
    size = face.photo.shape[0]
    cell = _CELL * size / 256
    x = np.arange(-_SIDES * size, (1 + _SIDES) * size + cell, cell, dtype=np.float32)
    y = np.arange(-_ABOVE * size, (1 + _BELOW) * size + cell, cell, dtype=np.float32)
    places_YX2 = np.stack(np.meshgrid(x, y), axis=-1).astype(np.float32)
    depth_YX = _depths(face, head, x, y, cell)
    nodes_YX3 = _unproject(face, places_YX2, depth_YX)
    normals_YX3 = _normals(nodes_YX3)
    picture, margin_2 = _framed(_picture(face))
    alpha_YX = _opacity(picture, places_YX2 + margin_2)
    triangles = _triangles(alpha_YX, _behind(face, topology, places_YX2, cell))
    nodes_G3 = np.ascontiguousarray(nodes_YX3.reshape(-1, 3))
    normals_G3 = np.ascontiguousarray(normals_YX3.reshape(-1, 3))
    carriers, pulls = _carriers(nodes_G3, face.neutral[topology.source][topology.anchors])
    light_G3 = harmonics(face.camera.turn(normals_G3)) @ face.light
    return Layer(
        nodes=nodes_G3,
        normals=normals_G3,
        triangles=triangles,
        places=np.ascontiguousarray((places_YX2 + margin_2).reshape(-1, 2) * np.float32(0.5**shrink)),
        picture=halved(picture, shrink),
        lit=np.clip(light_G3, DARKEST, BRIGHTEST).astype(np.float32),
        carriers=carriers,
        pulls=pulls,
    )


def _depths(face: BankFace, head: IctHead, x: Floats, y: Floats, cell: float) -> Floats:
    """Return (Y, X) how far each node of the head lies towards the viewer (cm); beyond the head as beside it."""
    seen_V3 = face.camera.project(face.neutral)
    seen_V3[:, 0] = (seen_V3[:, 0] - x[0]) / cell + 0.5
    seen_V3[:, 1] = (seen_V3[:, 1] - y[0]) / cell + 0.5
    shape = (len(y), len(x))
    nearest_HW, triangle_HW = np.zeros(shape, np.float32), np.zeros(shape, np.int32)
    weights_HW2 = np.zeros((*shape, 2), np.float32)
    clear(nearest_HW, triangle_HW)
    triangles_T3 = np.ascontiguousarray(head.triangles[head.triangles_of("face", "head")])
    box_4 = np.array([0, shape[1] - 1, 0, shape[0] - 1], np.int32)
    rasterise(seen_V3, triangles_T3, 0, len(triangles_T3), box_4, nearest_HW, triangle_HW, weights_HW2)
    there_YX = nearest_HW > 0
    depth_YX = np.zeros(shape, np.float32)
    depth_YX[there_YX] = face.camera.distance - 1 / nearest_HW[there_YX]
    # Beyond the head's outline hair hangs about as deep as the outline itself.
    far_YX = np.maximum(depth_YX, -3.0)
    spread_YX, weight_YX = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    for sigma in (1.0, 2.5, 6.0, 15.0):
        share = 10.0 ** (-2 * sigma)
        spread_YX += share * blurred(far_YX * there_YX, sigma)
        weight_YX += share * blurred(there_YX.astype(np.float32), sigma)
    outside_YX = spread_YX / np.maximum(weight_YX, 1e-30) - 1.0
    filled_YX = np.where(there_YX, far_YX, outside_YX).astype(np.float32)
    soft_YX = blurred(filled_YX, 1.2)
    inside_YX = cv2.erode(there_YX.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
    return np.where(inside_YX, 0.75 * filled_YX + 0.25 * soft_YX, soft_YX).astype(np.float32)


def _unproject(face: BankFace, places_YX2: Floats, depth_YX: Floats) -> Floats:
    camera = face.camera
    size_YX = camera.scale * camera.distance / (camera.distance - depth_YX)
    seen_YX3 = np.stack(
        [
            (places_YX2[..., 0] - camera.middle[0]) / size_YX,
            (camera.middle[1] - places_YX2[..., 1]) / size_YX,
            depth_YX,
        ],
        axis=-1,
    )
    return (seen_YX3 @ camera.rotation).astype(np.float32)


def _normals(nodes_YX3: Floats) -> Floats:
    soft_YX3 = blurred(nodes_YX3, 1.5)
    along_Y, along_X = np.gradient(soft_YX3, axis=(0, 1))
    normal_YX3 = np.cross(along_X, -along_Y)
    normal_YX3 /= np.maximum(np.linalg.norm(normal_YX3, axis=-1, keepdims=True), 1e-9)
    return normal_YX3.astype(np.float32)


def _picture(face: BankFace) -> Pixels:
    """Return (H, W, 4) the person's colours without the background's, and the matte.

    At wisps of hair the photograph mixes hair and wall; there the colour of what is surely hair nearby is taken, so
    that no bright rim stands before a dark background.
    """
    photo = face.photo.astype(np.float32)
    matte = face.matte.astype(np.float32) / 255
    sure = np.clip((cv2.erode(matte, np.ones((3, 3), np.uint8)) - 0.75) / 0.24, 0, 1)
    colour, weight = np.zeros_like(photo), np.zeros_like(matte)
    for sigma in (1.5, 4.0, 12.0, 40.0):
        share = 10.0 ** (-4 * np.log10(sigma))
        colour += share * blurred(photo * sure[..., None], sigma)
        weight += share * blurred(sure, sigma)
    clean = colour / np.maximum(weight, 1e-12)[..., None]
    own = photo * sure[..., None] + clean * (1 - sure[..., None])
    # Faint remnants of the wall in the matte are no hair.
    alpha = np.clip((matte - 0.06) / 0.9, 0, 1)
    return np.clip(np.dstack([own, alpha * 255]) + 0.5, 0, 255).astype(np.uint8)


def _framed(picture: Pixels) -> tuple[Pixels, Floats]:
    """Return the picture with more around it, and how far (columns, rows) it has moved.

    Photographs are cut off close to the hair and the neck. Beyond their lower edge the neck goes on; at the sides and
    above the mirror image of what is there ends softly.
    """
    height, width = picture.shape[:2]
    side, above, below = round(_SIDES * width), round(_ABOVE * height), round(_BELOW * height)
    framed = np.pad(picture, ((above, 0), (side, side), (0, 0)), mode="symmetric")
    framed = np.concatenate([framed, _neck(framed, picture, below)])
    column, row = np.arange(framed.shape[1]) - side + 0.5, np.arange(framed.shape[0]) - above + 0.5
    beside = np.maximum(np.maximum(-column, column - width), 0) / max(side, 1)
    fade = np.clip(1 - 1.4 * beside, 0, 1)[None] * _dome(picture[..., 3], column, row)
    framed[..., 3] = np.rint(framed[..., 3] * fade)
    return framed, np.array([side, above], np.float32)


def _neck(framed: Pixels, picture: Pixels, below: int) -> Pixels:
    """Return `below` more rows: the last ones go on, ever less sharp; no mirror image, which would show a second chin.

    The chin's shadow does not go on with the skin: further down a neck is about as light as the face.
    """
    height, width = picture.shape[:2]
    last = blurred(framed[-5:].mean(0, keepdims=True), 1.0)[0]
    middle = picture[height * 5 // 10 : height * 7 // 10, width * 4 // 10 : width * 6 // 10, :3]
    tone_3 = np.median(middle.reshape(-1, 3), axis=0)
    alike_W = last[:, :3] @ tone_3 / np.maximum(np.linalg.norm(last[:, :3], axis=1) * np.linalg.norm(tone_3), 1e-6)
    is_skin_W = np.clip((alike_W - 0.98) / 0.012, 0, 1) * (last[:, 3] > 128)
    towards = blurred(is_skin_W[None], 3.0)[0][:, None] * (0.8 * tone_3 - last[:, :3])
    rows = np.empty((below, *framed.shape[1:]), np.float32)
    for row in range(below):
        share = min(row / (0.12 * height), 1.0)
        lit = last[:, :3] + 0.7 * share * share * (3 - 2 * share) * towards
        rows[row, :, :3] = blurred(lit[None], 0.5 + 0.12 * row)[0] * (1 - 0.15 * row / below)
    rows[..., 3] = last[:, 3]
    return np.clip(rows + 0.5, 0, 255).astype(np.uint8)


def _dome(alpha: Pixels, column: NDArray[np.float64], row: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how much is there above the photograph, where a head that its upper edge cuts off rounds itself off."""
    height, width = alpha.shape
    there = np.flatnonzero(alpha[:3].max(0) > 128)
    if not len(there):
        return np.where(row < 0, 0.0, 1.0)[:, None]
    middle, half = (there[0] + there[-1] + 1) / 2, (there[-1] - there[0] + 1) / 2
    # A wide cut lies far below the crown, a narrow one close to it.
    rise = np.clip(0.22 * half, 4, 0.12 * width)
    inside = 1 - np.hypot((column[None] - middle) / (1.02 * half + 1), np.minimum(row, 0)[:, None] / rise)
    return np.where(row[:, None] < 0, np.clip(inside * half / (0.012 * height), 0, 1), 1.0)


def _opacity(picture: Pixels, places_YX2: Floats) -> Floats:
    around = np.asarray(cv2.dilate(picture[..., 3], np.ones((9, 9), np.uint8)), np.float32)
    column, row = (np.clip(places_YX2[..., i].astype(int), 0, picture.shape[1 - i] - 1) for i in (0, 1))
    return np.asarray(around[row, column], np.float32)


def _behind(face: BankFace, topology: Topology, places_YX2: Floats, cell: float) -> NDArray[np.bool_]:
    """Return (Y, X) whether a node lies so far inside the face that the mesh hides it in all poses and expressions."""
    own_V3 = face.neutral[topology.source]
    inner = (np.abs(topology.rest[: topology.skin, 0]) < 4.2) & (np.abs(topology.rest[: topology.skin, 1] - 1.5) < 6.2)
    seen_N2 = face.camera.project(own_V3[: topology.skin][inner])[:, :2]
    hull = cv2.convexHull(seen_N2.astype(np.float32))
    hidden = np.zeros(places_YX2.shape[:2], bool)
    for index in np.ndindex(hidden.shape):
        at = (float(places_YX2[index][0]), float(places_YX2[index][1]))
        hidden[index] = cv2.pointPolygonTest(hull, at, True) > cell
    return hidden


def _triangles(alpha_YX: Floats, behind_YX: NDArray[np.bool_]) -> Integers:
    rows, columns = alpha_YX.shape
    number = np.arange(rows * columns, dtype=np.int32).reshape(rows, columns)
    a, b, c, d = number[:-1, :-1], number[:-1, 1:], number[1:, :-1], number[1:, 1:]
    shows = np.zeros(a.shape, bool)
    hides = np.ones(a.shape, bool)
    for corner in (a, b, c, d):
        shows |= alpha_YX.reshape(-1)[corner] > 2
        hides &= behind_YX.reshape(-1)[corner]
    keep = shows & ~hides
    # Counterclockwise to the viewer; rows go down.
    both = [np.stack(corners, axis=-1)[keep] for corners in ((a, c, b), (b, c, d))]
    return np.ascontiguousarray(np.concatenate(both))


def _carriers(nodes_G3: Floats, anchors_N3: Floats) -> tuple[Integers, Floats]:
    from scipy.spatial import cKDTree

    count = min(_CARRIERS, len(anchors_N3))
    found = cKDTree(anchors_N3).query(nodes_G3, k=count)
    distance_GK, number_GK = (np.asarray(part).reshape(-1, count) for part in found)
    nearest_G1 = distance_GK[:, :1]
    weights_GK = np.exp(-(distance_GK**2 - nearest_G1**2) / (2 * _REACH_CM**2))
    fade_G1 = np.clip(1 - (nearest_G1 - 0.8) / _FURTHEST_CM, 0, 1)
    pulls_GK = weights_GK / weights_GK.sum(1, keepdims=True) * fade_G1 * fade_G1 * (3 - 2 * fade_G1)
    return number_GK.astype(np.int32), pulls_GK.astype(np.float32)


@kernel
def carry(nodes_G3: Floats, carriers_GK: Integers, pulls_GK: Floats, moves_N3: Floats) -> Floats:
    """Return the nodes moved as far as the face's anchors carry them."""
    moved_G3 = np.empty_like(nodes_G3)
    for g in range(len(nodes_G3)):
        x, y, z = nodes_G3[g, 0], nodes_G3[g, 1], nodes_G3[g, 2]
        for k in range(carriers_GK.shape[1]):
            pull = pulls_GK[g, k]
            if pull > 0:
                n = carriers_GK[g, k]
                x += pull * moves_N3[n, 0]
                y += pull * moves_N3[n, 1]
                z += pull * moves_N3[n, 2]
        moved_G3[g, 0], moved_G3[g, 1], moved_G3[g, 2] = x, y, z
    return moved_G3
