"""The hair's surface: a shell around the skull, combed from the crown to the hairline, and what hangs below it.

The shell is a grid of columns around the head and rows from the crown down. Its upper rows follow the person's own
skull, which rays from the middle of the base head find once; its lower rows hang freely (long hair) or lie on the
forehead (a fringe). A second small grid is the bun of tied hair.

Legend of the shapes: J columns, I rows, E elevations, N vertices of the shell, K triangles.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ausynth.generators.rendered.head import Head
from ausynth.generators.rendered.kernels import Integers, kernel
from ausynth.generators.rendered.noises import noise_tile
from ausynth.labels import Floats

__all__ = ["COLUMNS", "Hairdo", "Shell", "grow", "triangles", "vertex_count"]

COLUMNS: Final = 56
_SKULL_ROWS, _FREE_ROWS = 10, 8
_ROWS: Final = _SKULL_ROWS + _FREE_ROWS
_BUN: Final = (9, 12)  # rows and columns
_MIDDLE: Final = np.array((0.0, 75.5, 2.0))
_ELEVATIONS: Final = np.arange(90, -51, -10)
# The hairline: (degrees from the front, degrees above the head's middle) over forehead, temple, sideburn, ear, nape.
_HAIRLINE: Final = (
    (0, 20), (10, 20), (24, 16), (37, 8), (46, -4), (51, -20), (57, -22), (63, -7), (70, -4), (95, -4), (104, -14),
    (115, -28), (135, -36), (180, -42),
)  # fmt: skip
_ABOVE_EAR: Final = -4.0
_EAR_CM: Final = 9.3  # from the axis: hair that hangs over the ears presses them no further out


@dataclass(frozen=True)
class Hairdo:
    """How hair is cut and combed; lengths in centimetres.

    Attributes:
        top, sides: thickness above and beside the head; 0 at both is no shell.
        recede: how far the hairline has gone back at the temples, degrees.
        length: how far below the ears hair hangs; 0 for short hair.
        opens: degrees from the front at which hanging hair begins (60 frames the face, 100 lies behind the ears).
        fringe: how far hair falls over the forehead, 0 (none) to 1 (a finger above the brows).
        sweep: how much longer the fringe is on one side, -1 to 1.
        inward: how far the tips of hanging hair curl inward.
        curl: 0 straight to 1 tight curls.
        bun: radius of a bun; 0 for none.
        wisp: length of single hairs at edges.
    """

    top: float = 0.0
    sides: float = 0.0
    recede: float = 0.0
    length: float = 0.0
    opens: float = 62.0
    fringe: float = 0.0
    sweep: float = 0.0
    inward: float = 0.0
    curl: float = 0.0
    bun: float = 0.0
    wisp: float = 0.5

    @property
    def is_grown(self) -> bool:
        """Return whether there is a shell at all."""
        return self.top > 0 or self.sides > 0


@dataclass(frozen=True, eq=False)
class Shell:
    """A person's hair.

    Attributes:
        vertices: (N, 3) float32, centimetres, unposed.
        across, along: (N,) where a vertex lies around and along the strands, centimetres.
        direction: (N, 3) unit vectors along the strands, towards their ends.
        tip: (N,) centimetres to the nearest end or edge of the hair.
        open: (N,) 0-1, how much light from all around reaches it.
        used: (K,) bool, which triangles there are.
    """

    vertices: Floats
    across: Floats
    along: Floats
    direction: Floats
    tip: Floats
    open: Floats
    used: NDArray[np.bool_]


def vertex_count() -> int:
    """Return N."""
    return _ROWS * COLUMNS + _BUN[0] * _BUN[1]


@functools.cache
def triangles() -> Integers:
    """Return (K, 3) the shell's triangles: first the grid around the head, row by row, then the bun. Read-only."""
    grids = []
    offset = 0
    for rows, columns in ((_ROWS, COLUMNS), _BUN):
        i, j = np.mgrid[: rows - 1, :columns]
        a, b = i * columns + j, i * columns + (j + 1) % columns
        c, d = a + columns, b + columns
        grids.append(np.stack([np.stack([a, c, b], -1), np.stack([b, c, d], -1)], 2).reshape(-1, 3) + offset)
        offset += rows * columns
    joined: Integers = np.concatenate(grids).astype(np.int32)
    joined.flags.writeable = False
    return joined


@functools.cache
def _azimuths() -> NDArray[np.float64]:
    # No column in the middle of the forehead, where a parting lies between two of them.
    return np.asarray((np.arange(COLUMNS) + 0.5) * (360 / COLUMNS) - 180, np.float64)


@functools.cache
def _attachment(head: Head) -> tuple[Integers, Floats]:
    """Return (J, E, 3) vertices and their weights: where a ray from the middle of the head leaves the base skull."""
    around, up = np.radians(_azimuths())[:, None], np.radians(_ELEVATIONS)[None]
    directions = np.stack([np.sin(around) * np.cos(up), np.sin(up) + 0 * around, np.cos(around) * np.cos(up)], -1)
    skin = head.triangles[head.materials == head.material("skin")]
    # Not the ears, nor the shoulders, which lie on rays past the nape.
    plain = (head.masks["ears"][skin].max(1) < 0.3) & (head.masks["inside-mouth"][skin].max(1) < 0.1)
    plain &= head.vertices[skin, 1].min(1) > 63
    hit, weights = _cast(
        _MIDDLE.astype(np.float32), directions.reshape(-1, 3).astype(np.float32), head.vertices, skin[plain]
    )
    shape = (COLUMNS, len(_ELEVATIONS), 3)
    corners_JE3, weights_JE3 = skin[plain][hit].reshape(shape), weights.reshape(shape)
    for e in range(1, len(_ELEVATIONS)):  # a ray that leaves through the shoulders ends where the one above does
        lost_J = weights_JE3[:, e].sum(-1) < 0.5
        corners_JE3[lost_J, e], weights_JE3[lost_J, e] = corners_JE3[lost_J, e - 1], weights_JE3[lost_J, e - 1]
    return corners_JE3, weights_JE3


@kernel
def _cast(
    origin_3: Floats, directions_N3: Floats, vertices_V3: Floats, triangles_T3: Integers
) -> tuple[Integers, Floats]:
    """Return the outermost triangle on each ray and the weights of its corners (Moeller and Trumbore 1997)."""
    hit_N = np.zeros(len(directions_N3), np.int32)
    weights_N3 = np.zeros((len(directions_N3), 3), np.float32)
    for n in range(len(directions_N3)):
        dx, dy, dz = directions_N3[n]
        furthest = np.float32(0)
        for t in range(len(triangles_T3)):
            a, b, c = triangles_T3[t]
            e1x, e1y, e1z = (vertices_V3[b, 0] - vertices_V3[a, 0], vertices_V3[b, 1] - vertices_V3[a, 1],
                             vertices_V3[b, 2] - vertices_V3[a, 2])  # fmt: skip
            e2x, e2y, e2z = (vertices_V3[c, 0] - vertices_V3[a, 0], vertices_V3[c, 1] - vertices_V3[a, 1],
                             vertices_V3[c, 2] - vertices_V3[a, 2])  # fmt: skip
            px, py, pz = dy * e2z - dz * e2y, dz * e2x - dx * e2z, dx * e2y - dy * e2x
            determinant = e1x * px + e1y * py + e1z * pz
            if abs(determinant) < 1e-9:
                continue
            sx, sy, sz = (origin_3[0] - vertices_V3[a, 0], origin_3[1] - vertices_V3[a, 1],
                          origin_3[2] - vertices_V3[a, 2])  # fmt: skip
            u = (sx * px + sy * py + sz * pz) / determinant
            if u < -1e-4 or u > 1.0001:
                continue
            qx, qy, qz = sy * e1z - sz * e1y, sz * e1x - sx * e1z, sx * e1y - sy * e1x
            v = (dx * qx + dy * qy + dz * qz) / determinant
            if v < -1e-4 or u + v > 1.0001:
                continue
            far = (e2x * qx + e2y * qy + e2z * qz) / determinant
            if far > furthest:
                furthest = far
                hit_N[n] = t
                weights_N3[n, 0], weights_N3[n, 1], weights_N3[n, 2] = 1 - u - v, u, v
    return hit_N, weights_N3


def grow(head: Head, vertices_V3: Floats, hairdo: Hairdo, texture: float) -> Shell:  # noqa: PLR0915 (one shape)
    """Return the hair of a person.

    Args:
        head: the base head.
        vertices_V3: (V, 3) the person's neutral face without hair.
        hairdo: how it is cut.
        texture: 0-1, where in the noise this person's hair lies.
    """
    if not hairdo.is_grown:
        return _none()
    corners, weights = _attachment(head)
    skull_JE3 = np.einsum("jecx,jec->jex", vertices_V3[corners].astype(np.float64), weights)
    around_J = _azimuths()
    front_J = np.abs(around_J)
    line_J = np.interp(front_J, *np.array(_HAIRLINE, float).T)
    line_J = line_J + hairdo.recede * np.exp(-(((front_J - 32) / 13) ** 2)) + 0.35 * hairdo.recede * (front_J < 40)
    hangs_J = (hairdo.length > 0) & (front_J >= hairdo.opens)
    end_J = np.where(hangs_J, np.maximum(line_J, _ABOVE_EAR), line_J)

    down_I = np.linspace(0, 1, _SKULL_ROWS)
    elevation_JI = 90 - (90 - end_J[:, None]) * down_I[None]
    fringe_J = hairdo.fringe * np.clip((44 - front_J) / 8, 0, 1)
    fringe_J = fringe_J * np.clip(1 + hairdo.sweep * around_J / 40, 0.1, 1)
    falls_J = ~hangs_J & (fringe_J > 0.02) & (hairdo.fringe > 0)
    uneven_J = noise_tile()[(np.arange(COLUMNS) * 5 + int(texture * 251)) % 256, int(texture * 97), 1]
    fringe_J = np.clip(fringe_J * (1 + 0.10 * uneven_J), 0, 1)
    free_I = np.linspace(0, 1, _FREE_ROWS + 1)[1:]
    lowest_J = np.where(falls_J, line_J - fringe_J * (line_J - 3.5), end_J)
    free_JI = end_J[:, None] + (lowest_J - end_J)[:, None] * free_I[None]
    elevation_JI = np.concatenate([elevation_JI, free_JI], 1)

    place_JI = np.clip((90 - elevation_JI) / 10, 0, len(_ELEVATIONS) - 1.001)
    low_JI = place_JI.astype(int)
    share_JI1 = (place_JI - low_JI)[..., None]
    j = np.arange(COLUMNS)[:, None]
    points_JI3 = skull_JE3[j, low_JI] * (1 - share_JI1) + skull_JE3[j, low_JI + 1] * share_JI1
    outward_JI3 = points_JI3 - _MIDDLE
    outward_JI3 /= _length(outward_JI3)[..., None]

    # How far from its end each point of a strand lies; hanging hair is lengthened below.
    to_line_JI = np.abs(elevation_JI - np.where(falls_J, lowest_J, end_J)[:, None]) * 0.17
    above_JI = _step((elevation_JI - 5) / 45)
    thick_JI = hairdo.top * above_JI + hairdo.sides * (1 - above_JI)
    taper_JI = np.where(hangs_J[:, None], 1, 0.12 + 0.88 * _step(to_line_JI / (1.2 + thick_JI)))
    points_JI3 = points_JI3 + outward_JI3 * (thick_JI * taper_JI)[..., None]

    length = np.where(hangs_J, (hairdo.length + 5.5) * (1 + 0.04 * uneven_J), 0.0)
    if hangs_J.any():
        ears_cm = float(np.abs(vertices_V3[head.masks["ears"] > 0.3, 0]).max()) + 0.2
        _hang(points_JI3, hangs_J, around_J, length, min(ears_cm, _EAR_CM), hairdo)
    if hairdo.curl > 0:
        _ruffle(points_JI3, outward_JI3, hairdo, texture)

    steps_JI = np.zeros((COLUMNS, _ROWS))
    moves_JI3 = np.diff(points_JI3, axis=1)
    steps_JI[:, 1:] = _length(moves_JI3)
    direction_JI3 = np.zeros_like(points_JI3)
    direction_JI3[:, 1:] = moves_JI3 / np.maximum(steps_JI[:, 1:], 1e-6)[..., None]
    direction_JI3[:, 0] = direction_JI3[:, 1]
    along_JI = np.cumsum(steps_JI, 1)
    tip_JI = along_JI[:, -1:] - along_JI
    edge_J = np.where(hangs_J, (front_J - hairdo.opens) * 0.16 + 0.1, 99)
    tip_JI[:, _SKULL_ROWS:] = np.minimum(tip_JI[:, _SKULL_ROWS:], edge_J[:, None])
    across_JI = np.broadcast_to((np.radians(around_J) * 8.5)[:, None], tip_JI.shape)
    open_JI = np.clip(0.55 + 0.5 * above_JI, 0, 1)
    open_JI[:, _SKULL_ROWS:] *= np.where(hangs_J[:, None], 1 - 0.25 * free_I[None], 1)

    # A strip between two columns hangs only where both do.
    both_J = (hangs_J & np.roll(hangs_J, -1)) | (falls_J & np.roll(falls_J, -1))
    used = np.ones((_ROWS - 1, COLUMNS), bool)
    used[_SKULL_ROWS - 1 :] = both_J
    bun, bun_used = _bun(points_JI3, hairdo)
    parts = [points_JI3.transpose(1, 0, 2).reshape(-1, 3), bun]
    rows, columns = np.mgrid[: _BUN[0], : _BUN[1]]
    return Shell(
        vertices=np.concatenate(parts).astype(np.float32),
        across=_joined(across_JI, columns.ravel() * 1.1),
        along=_joined(along_JI, rows.ravel() * 1.3),
        direction=np.concatenate(
            [direction_JI3.transpose(1, 0, 2).reshape(-1, 3), np.tile((0.0, -1.0, 0.0), (rows.size, 1))]
        ).astype(np.float32),
        tip=_joined(tip_JI, np.full(rows.size, 9.0)),
        open=_joined(open_JI, np.full(rows.size, 0.8)),
        used=np.concatenate([np.repeat(used.ravel(), 2), bun_used]),
    )


@functools.cache
def _none() -> Shell:
    """Return the hair of a shaved head."""
    zeros_N = np.zeros(vertex_count(), np.float32)
    zeros_N3 = np.zeros((vertex_count(), 3), np.float32)
    return Shell(zeros_N3, zeros_N, zeros_N, zeros_N3, zeros_N, zeros_N, np.zeros(len(triangles()), bool))


def _joined(grid_JI: NDArray[np.float64], bun: NDArray[np.float64]) -> Floats:
    values: Floats = np.concatenate([grid_JI.T.ravel(), bun]).astype(np.float32)
    return values


def _hang(  # noqa: PLR0917
    points_JI3: NDArray[np.float64],
    hangs_J: NDArray[np.bool_],
    around_J: NDArray[np.float64],
    length_J: NDArray[np.float64],
    ears_cm: float,
    hairdo: Hairdo,
) -> None:
    """Let the free rows of the columns that hang fall from the last row on the skull, in place."""
    start_J3 = points_JI3[:, _SKULL_ROWS - 1].copy()
    radius_J = np.hypot(start_J3[:, 0], start_J3[:, 2] - _MIDDLE[2])
    beside_J = np.exp(-(((np.abs(around_J) - 82) / 32) ** 4))
    wide_J = np.maximum(radius_J, ears_cm * beside_J + radius_J * (1 - beside_J)) + 0.35 * hairdo.sides
    direction_J2 = np.stack([np.sin(np.radians(around_J)), np.cos(np.radians(around_J))], 1)
    for i, share in enumerate(np.linspace(0, 1, _FREE_ROWS + 1)[1:]):
        fallen_J = share * length_J
        settled_J = _step(fallen_J / 2.0)
        spread_J = wide_J * (1 + 0.012 * fallen_J)
        radius = radius_J + (spread_J - radius_J) * settled_J - hairdo.inward * _step((share - 0.45) / 0.55)
        row_J3 = np.stack(
            [radius * direction_J2[:, 0], start_J3[:, 1] - fallen_J, _MIDDLE[2] + radius * direction_J2[:, 1]], 1
        )
        points_JI3[hangs_J, _SKULL_ROWS + i] = row_J3[hangs_J]


def _ruffle(points_JI3: NDArray[np.float64], outward_JI3: NDArray[np.float64], hairdo: Hairdo, texture: float) -> None:
    """Push the shell out and in by locks, in place."""
    tile = noise_tile()
    size = tile.shape[0]
    j, i = np.mgrid[:COLUMNS, :_ROWS]
    at = (j * 9 + int(texture * 251)) % size, (i * 11 + int(texture * 97)) % size
    locks_JI = tile[at[0], at[1], 1] + 0.6 * tile[at[1], at[0], 0]
    amount = hairdo.curl * (0.12 + 0.16 * max(hairdo.top, 0.8))
    sideways_JI3 = np.stack([outward_JI3[..., 2], 0 * outward_JI3[..., 2], -outward_JI3[..., 0]], -1)
    points_JI3 += (outward_JI3 + 0.4 * sideways_JI3) * (amount * np.clip(locks_JI, -1.5, 1.5))[..., None]


def _bun(points_JI3: NDArray[np.float64], hairdo: Hairdo) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the bun's vertices and which of its triangles there are."""
    ball_N3 = _ball()
    used = np.full(2 * (_BUN[0] - 1) * _BUN[1], hairdo.bun > 0)
    if hairdo.bun == 0:
        return ball_N3, used
    behind_3 = points_JI3[:, 4][np.abs(_azimuths()) > 140].mean(0)
    return behind_3 + np.array([0, 0.75, -0.4]) * hairdo.bun + ball_N3 * hairdo.bun, used


@functools.cache
def _ball() -> NDArray[np.float64]:
    up, around = np.meshgrid(np.linspace(90, -90, _BUN[0]), np.arange(_BUN[1]) * (360 / _BUN[1]), indexing="ij")
    up, around = np.radians(up), np.radians(around)
    ball = np.stack([np.sin(around) * np.cos(up), np.sin(up) * 0.8, np.cos(around) * np.cos(up)], -1)
    return np.asarray(ball.reshape(-1, 3), np.float64)


def _length(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.sqrt(np.einsum("...i,...i->...", vectors, vectors)))


def _step(value: NDArray[np.float64]) -> NDArray[np.float64]:
    value = np.clip(value, 0, 1)
    return value * value * (3 - 2 * value)
