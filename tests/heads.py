"""A made-up head in ICT-FaceKit's numbering, small enough for every test: no part of it is the kit's."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ausynth.generators.portrait import ict_pack
from ausynth.generators.portrait.ict import LANDMARKS_68, IctHead, read_ict
from ausynth.generators.portrait.person import PersonShape, PhotoCamera
from ausynth.generators.rendered.camera import rotation
from ausynth.generators.rendered.mesh import normals

VERTICES, MODES = ict_pack._VERTICES, ict_pack._MODES
SHAPES = ("browDown_L", "browDown_R", "cheekRaiser_L", "jawOpen", "mouthRollUpper", "mouthSmile_L")
MATERIALS = (
    "M_Face",
    "M_BackHead",
    "M_GumsTongue",
    "M_Teeth",
    "M_ScleraLeft",
    "M_ScleraRight",
    "M_EyeLashes",
    "M_IrisLeft",
)


def depth(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how far the made-up face stands out: an egg with a nose."""
    nose = 1.8 * np.exp(-((x / 1.0) ** 2) - ((y - 0.3) / 1.8) ** 2)
    return np.asarray(10.5 - 0.11 * x**2 - 0.018 * y**2 + nose)


def landmark_places() -> NDArray[np.float64]:
    """Return (68, 2) x and y in centimetres, mirror-symmetric, the picture's left first."""
    angle = np.linspace(-np.pi / 2, np.pi / 2, 17)
    jaw = np.stack([7.2 * np.sin(angle), 3.5 - 11 * np.cos(angle)], 1)
    brow = np.array([[-5.8, 5.1], [-4.8, 5.9], [-3.7, 6.2], [-2.4, 6.1], [-1.2, 5.8]])
    nose = np.array(
        [[0, 3.7], [0, 2.6], [0, 1.5], [0, 0.4], [-1.3, -1.1], [-0.6, -1.2], [0, -1.3], [0.6, -1.2], [1.3, -1.1]]
    )
    eye = np.array([[-4.5, 3.4], [-3.8, 3.9], [-2.7, 3.9], [-1.8, 3.3], [-2.7, 3.0], [-3.8, 3.0]])
    other = eye[[3, 2, 1, 0, 5, 4]] * [-1, 1]
    # fmt: off
    lips = np.array([[-2.5, -3.5], [-1.7, -2.8], [-0.7, -2.4], [0, -2.5], [0.7, -2.4], [1.7, -2.8], [2.5, -3.5],
                     [1.8, -4.1], [1, -4.4], [0, -4.5], [-1, -4.4], [-1.8, -4.1],
                     [-2.2, -3.5], [-1, -3.3], [0, -3.3], [1, -3.3], [2.2, -3.5], [1, -3.4], [0, -3.4], [-1, -3.4]])
    # fmt: on
    return np.concatenate([jaw, brow, brow[::-1] * [-1, 1], nose, eye, other, lips])


@functools.cache
def made_up_kit() -> ict_pack.Kit:
    """Return a head of an egg's shape with eyeballs and a few teeth, numbered as ICT-FaceKit's."""
    from scipy.spatial import Delaunay

    vertices = np.zeros((VERTICES, 3), np.float32)
    marks = landmark_places()
    x, y = np.meshgrid(np.linspace(-8.4, 8.4, 25), np.linspace(-14, 12, 37))
    grid = np.stack([x.ravel(), y.ravel()], 1)
    grid = grid[np.linalg.norm(grid[:, None] - marks[None], axis=2).min(1) > 0.35]
    places = np.concatenate([marks, grid])
    numbers = np.setdiff1d(np.arange(9409), LANDMARKS_68)[: len(grid)]
    numbers = np.concatenate([LANDMARKS_68, numbers])
    vertices[numbers] = np.column_stack([places, depth(places[:, 0], places[:, 1])])
    corners = Delaunay(places).simplices
    (ax, ay), (bx, by) = ((places[corners[:, i]] - places[corners[:, 0]]).T for i in (1, 2))
    turn = ax * by < ay * bx
    corners[turn] = corners[turn][:, [0, 2, 1]]
    faces, uv_faces, materials = (
        [np.column_stack([numbers[corners], np.full(len(corners), -1)])],
        [],
        ["M_Face"] * len(corners),
    )
    uv = [np.clip(places / [20, 30] + [0.5, 0.52], 0.005, 0.995)]
    uv_faces.append(np.column_stack([corners, np.full(len(corners), -1)]))

    def add(name: str, first: int, points: NDArray[np.float64], quads: NDArray[np.int64], tile: float) -> None:
        vertices[first : first + len(points)] = points
        start = sum(len(part) for part in uv)
        uv.append(np.column_stack([tile + np.linspace(0.1, 0.9, len(points)), np.linspace(0.1, 0.9, len(points))]))
        faces.append(np.where(quads >= 0, quads + first, -1))
        uv_faces.append(np.where(quads >= 0, quads + start, -1))
        materials.extend([name] * len(quads))

    ball = _ball(1.5)
    for name, first, side in (("M_ScleraLeft", 21451, 1), ("M_ScleraRight", 23021, -1), ("M_IrisLeft", 22221, 1)):
        add(name, first, ball[0] * [side, 1, 1] + [side * 3.1, 3.5, 8.0], ball[1] if side > 0 else ball[1][:, ::-1], 0)
    square = np.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]], float)
    quad = np.array([[0, 1, 2, 3]])
    add("M_Teeth", 17039, square + np.array([0, -3.5, 8]), quad, 3)
    add("M_GumsTongue", 14062, square * 1.5 + [0, -3.5, 7], quad, 2)
    add("M_BackHead", 9409, square * [9, 13, 1] + [0, 0, -6], quad[:, ::-1], 1)
    add("M_BackHead", 11248, square * 1.2 + [0, -3.5, 6], quad, 1)
    add("M_BackHead", 13294, square + np.array([3, 3.5, 6]), quad, 1)  # an eye socket, which nobody sees
    for side, first in ((1, 25351), (-1, 26035)):
        lash = square * [0.5 * side, 0.1, 1] + [side * 3.1, 4.1, 10]
        add("M_EyeLashes", first, lash, quad if side > 0 else quad[:, ::-1], 6)
    return ict_pack.Kit(
        vertices=vertices,
        faces=np.concatenate(faces).astype(np.int32),
        uv=np.concatenate(uv).astype(np.float32),
        uv_faces=np.concatenate(uv_faces).astype(np.int32),
        face_materials=np.array(materials),
        modes=_modes(vertices),
        shapes={name: _shape(vertices, name) for name in SHAPES},
    )


def _ball(radius: float) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    rows, columns = 9, 12
    a, b = np.meshgrid(
        np.linspace(0.1, np.pi - 0.1, rows), np.linspace(0, 2 * np.pi, columns, endpoint=False), indexing="ij"
    )
    points = radius * np.stack([np.sin(a) * np.sin(b), np.cos(a), np.sin(a) * np.cos(b)], -1).reshape(-1, 3)
    i, j = np.meshgrid(np.arange(rows - 1), np.arange(columns), indexing="ij")
    k = (j + 1) % columns
    quads = np.stack([i * columns + j, (i + 1) * columns + j, (i + 1) * columns + k, i * columns + k], -1)
    return points, quads.reshape(-1, 4)


def _modes(vertices: NDArray[np.float32]) -> NDArray[np.float32]:
    rng = np.random.default_rng(3)
    modes = np.zeros((MODES, len(vertices), 3), np.float32)
    used = np.flatnonzero(np.abs(vertices).sum(1) > 0)
    for m in range(MODES):
        wave = rng.normal(0, 0.12 + 0.002 * m, (3, 3))
        modes[m, used] = 0.35 / (1 + 0.3 * m) * np.sin(vertices[used] @ wave + rng.uniform(0, 6.28, 3))
    return modes


def _shape(vertices: NDArray[np.float32], name: str) -> NDArray[np.float32]:
    """Return a bump that moves downward: at the brows, at the mouth or, for the jaw, below it."""
    middle = {"b": (0, 5.5), "c": (0, 1.0)}.get(name[0], (0, -4.0))
    delta = np.zeros_like(vertices)
    away = ((vertices[:, :2] - middle) ** 2).sum(1)
    side = np.ones(len(vertices)) if name[-2] != "_" else (vertices[:, 0] * (1 if name[-1] == "L" else -1) > 0.05)
    delta[:, 1] = -0.8 * np.exp(-away / 6) * side
    delta[np.abs(delta) < 1e-3] = 0
    return delta.astype(np.float32)


@functools.cache
def made_up_head() -> IctHead:
    """Return the made-up head as `load_ict` would."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "head.npz"
        path.write_bytes(ict_pack.pack_kit(made_up_kit()))
        return read_ict(path)


def camera(size: int = 256, yaw: float = 0.0, pitch: float = 0.0, roll: float = 0.0) -> PhotoCamera:
    """Return a camera that sees the whole made-up face in a square picture."""
    return PhotoCamera(rotation(yaw, pitch, roll), size / 24, (size / 2, size * 0.52), 110.0)


def skin(points: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return linear colours of places on the mean face: even skin with soft stripes, alike on both sides."""
    stripe = 0.06 * np.cos(1.1 * points[..., 1]) + 0.05 * np.cos(0.9 * points[..., 0])
    return np.clip(np.stack([0.45 + stripe, 0.30 + 0.7 * stripe, 0.22 + 0.5 * stripe], -1), 0, 1).astype(np.float32)


def photograph(
    head: IctHead,
    shape: PersonShape,
    seen_by: PhotoCamera,
    *,
    size: int = 256,
    light_93: NDArray[np.float32] | None = None,
    wall: tuple[int, int, int] = (200, 202, 206),
) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.bool_]]:
    """Return a picture of a person on a plain wall, its 68 landmarks, and which pixels show the person."""
    from ausynth.generators.portrait.bake import from_linear
    from ausynth.generators.portrait.bank import harmonics
    from ausynth.generators.portrait.raster import rasterised

    vertices = shape.vertices(head)
    seen = seen_by.project(vertices)
    shown = head.triangles[np.isin(head.materials, [head.material(name) for name in ("face", "head")])]
    triangle, weights = rasterised(seen, shown, size)
    there = triangle >= 0
    weights[~there] = 0
    share = np.stack([1 - weights.sum(-1), weights[..., 0], weights[..., 1]], -1)[..., None]
    corners = shown[np.maximum(triangle, 0)]
    facing = seen_by.turn((normals(vertices, head.triangles)[corners] * share).sum(-2))
    facing /= np.maximum(np.linalg.norm(facing, axis=-1, keepdims=True), 1e-6)
    colour = skin((head.vertices[corners] * share).sum(-2))
    if light_93 is not None:
        colour = colour * (harmonics(facing) @ light_93)
    rng = np.random.default_rng(0)
    picture = np.where(there[..., None], from_linear(colour), np.array(wall, np.uint8)).astype(float)
    picture += rng.normal(0, 0.7, picture.shape)
    return np.clip(picture, 0, 255).astype(np.uint8), seen[head.landmarks, :2], there
