"""What of the head is drawn, and how its vertices hang together: the same for every person.

Legend of the shapes: V drawn vertices (skin, then eyeballs, then what lies behind the lips), T triangles, E expression
shapes, K columns of vertices around the mouth's slit, R rows from its inside outward.
"""

from __future__ import annotations

import functools
from collections import defaultdict
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ausynth.errors import AusynthError
from ausynth.generators.portrait.ict import EYES, IctHead
from ausynth.labels import Floats

__all__ = ["EYE", "GUMS", "SKIN", "SOCKET", "TEETH", "Topology"]

Integers = NDArray[np.int32]

SKIN, EYE, TEETH, GUMS, SOCKET = range(5)
"""Kinds of surface, see `Topology.kinds`."""

_KINDS: Final = {"face": SKIN, "eye_L": EYE, "eye_R": EYE, "teeth": TEETH, "gums": GUMS, "mouth": SOCKET}
_INSIDE: Final = ("teeth", "gums", "mouth")
_LIP_ROWS: Final = 12
_LEAST_MOVE: Final = 1e-3  # cm: a hundredth of a pixel


@dataclass(frozen=True, eq=False)
class Topology:
    """The drawn part of an `IctHead`. Arrays are shared: do not write to them.

    Attributes:
        source: (V,) each vertex's number in the head.
        skin: how many of the vertices are skin; they come first.
        outside: how many are skin or eyeball; the rest lies behind the lips.
        triangles: (T, 3), those of skin and eyeballs first.
        outer: how many triangles are skin or eyeball.
        kinds: (T,) uint8: SKIN, EYE, TEETH, GUMS or SOCKET.
        uv: (T, 3, 2) texture coordinates of the corners, v down: (0, 0) is the texture's upper left corner.
        rest: (V, 3) the mean head's vertices.
        cover: (V,) 0-1: how far the mesh hides the photograph behind it: 1 on the face, 0 at ears and neck.
        rim: (V,) 0-1: where the face's outline can lie: 0 on nose, lips and eyes, behind which is no photograph.
        starts, rows, deltas: the expression shapes' sparse changes of these vertices, as in `IctHead`.
        lips_upper, lips_lower: (K, R) from the right corner to the left, from inside outward.
        lids: for the left and the right eye the skin vertices that may touch the eyeball.
        lid_loops: for the left and the right eye the vertices along the lids' edges.
        lid_edge: (V,) 0-1, how near the edge of a lid a vertex lies: where lashes grow.
        balls: for the left and the right eye the vertices of the eyeball.
        ball_middle: for each eye the mean head's (x, y, z, radius).
        jaws: vertices of the upper and of the lower teeth.
        landmarks: (68,) vertices in the order of 300-W.
        anchors: skin vertices whose movements carry hair and neck along.
    """

    source: Integers
    skin: int
    outside: int
    triangles: Integers
    outer: int
    kinds: NDArray[np.uint8]
    uv: Floats
    rest: Floats
    cover: Floats
    rim: Floats
    starts: Integers
    rows: Integers
    deltas: Floats
    lips_upper: Integers
    lips_lower: Integers
    lids: tuple[Integers, Integers]
    lid_loops: tuple[Integers, Integers]
    lid_edge: Floats
    balls: tuple[Integers, Integers]
    ball_middle: tuple[Floats, Floats]
    jaws: tuple[Integers, Integers]
    landmarks: Integers
    anchors: Integers

    @classmethod
    def of(cls, head: IctHead) -> Topology:
        """Return the topology of a head; the last two are remembered."""
        return _topology(head)


@functools.lru_cache(maxsize=2)
def _topology(head: IctHead) -> Topology:
    skin_triangles = _seen_skin(head)
    eye_triangles = head.triangles_of(*EYES)
    inside = np.concatenate([head.triangles_of(name) for name in _INSIDE])
    order = np.concatenate([skin_triangles, eye_triangles, inside])
    parts = [np.unique(head.triangles[part]) for part in (skin_triangles, eye_triangles, inside)]
    # The landmarks along the jaw may lie beyond what is drawn.
    parts[0] = np.union1d(parts[0], head.landmarks)
    parts[2] = np.setdiff1d(parts[2], np.concatenate(parts[:2]))  # the socket begins where the lips end
    source = np.concatenate(parts).astype(np.int32)
    number = np.full(len(head.vertices), -1, np.int32)
    number[source] = np.arange(len(source))
    rest_V3 = np.ascontiguousarray(head.vertices[source])
    uv_T32 = head.uv[order].copy()
    uv_T32[..., 1] = 1 - uv_T32[..., 1]
    starts, rows, deltas = _sparse(head, number)
    loops = _boundaries(head)
    upper_KR, lower_KR = _lip_columns(head, loops[0])
    balls = tuple(number[head.vertices_of(name)] for name in EYES)
    skin = len(parts[0])
    cover_V = _cover(head)[source]
    cover_V[skin:] = 1
    return Topology(
        source=source,
        skin=skin,
        outside=skin + len(parts[1]),
        triangles=np.ascontiguousarray(number[head.triangles[order]]),
        outer=len(skin_triangles) + len(eye_triangles),
        kinds=np.array([_KINDS[name] for name in _names(head, order)], np.uint8),
        uv=np.ascontiguousarray(uv_T32),
        rest=rest_V3,
        cover=cover_V,
        rim=np.maximum(_smoothstep(4.2, 6.0, np.abs(rest_V3[:, 0])), _smoothstep(-6.2, -7.2, rest_V3[:, 1])),
        starts=starts,
        rows=rows,
        deltas=deltas,
        lips_upper=number[upper_KR],
        lips_lower=number[lower_KR],
        lids=_lids(head, rest_V3, skin),
        lid_loops=(number[loops[1]], number[loops[2]]),
        lid_edge=_near(rest_V3, skin, [number[loop] for loop in loops[1:]]),
        balls=(balls[0], balls[1]),
        ball_middle=(head.eyes[0], head.eyes[1]),
        jaws=_jaws(head, number),
        landmarks=number[head.landmarks],
        anchors=_anchors(rest_V3, cover_V, skin),
    )


def _jaws(head: IctHead, number: Integers) -> tuple[Integers, Integers]:
    """Return the vertices of the upper and of the lower teeth: those that stay, and those that go with the jaw."""
    teeth = head.vertices_of("teeth")
    drop_V = np.zeros(len(head.vertices), np.float32)
    own = slice(head.starts[head.shapes["jawOpen"]], head.starts[head.shapes["jawOpen"] + 1])
    drop_V[head.rows[own]] = np.linalg.norm(head.deltas[own], axis=1)
    is_lower_N = drop_V[teeth] > 0.5 * drop_V[teeth].max(initial=0)
    return number[teeth[~is_lower_N]], number[teeth[is_lower_N]]


def _names(head: IctHead, order: Integers) -> list[str]:
    from ausynth.generators.portrait.ict import MATERIALS

    return [MATERIALS[m] for m in head.materials[order]]


def _cover(head: IctHead) -> Floats:
    """Return (V,) how far the mesh hides the photograph, by the place on the mean head alone."""
    _, y, z = head.vertices.T
    forehead = _smoothstep(11.7, 10.4, y)
    neck = _smoothstep(-9.2, -8.0, y)
    ears = _smoothstep(2.2, 4.4, z)
    return np.asarray(forehead * neck * ears, np.float32)


def _seen_skin(head: IctHead) -> Integers:
    """Return the face's triangles that are not wholly left to the photograph."""
    triangles = head.triangles_of("face")
    keep = _cover(head)[head.triangles[triangles]].max(1) > 0
    return np.asarray(triangles[keep], np.int32)


def _sparse(head: IctHead, number: Integers) -> tuple[Integers, Integers, Floats]:
    starts, rows, deltas = [0], [], []
    for e in range(len(head.shapes)):
        own = slice(head.starts[e], head.starts[e + 1])
        moved = number[head.rows[own]]
        keep = (moved >= 0) & (np.abs(head.deltas[own]).max(1, initial=0) > _LEAST_MOVE)
        rows.append(moved[keep])
        deltas.append(head.deltas[own][keep])
        starts.append(starts[-1] + int(keep.sum()))
    return (
        np.array(starts, np.int32),
        np.concatenate(rows).astype(np.int32),
        np.ascontiguousarray(np.concatenate(deltas), dtype=np.float32),
    )


def _edges(head: IctHead) -> tuple[NDArray[np.int64], dict[int, set[int]], dict[int, set[int]]]:
    """Return the face's boundary edges, each vertex's neighbours along quads, and the quads around it.

    The head's quads come as two triangles one after the other, which share the corners 0 and 2 of the first.
    """
    triangles_T3 = head.triangles[head.triangles_of("face")].astype(np.int64)
    directed = np.concatenate([triangles_T3[:, [i, (i + 1) % 3]] for i in range(3)])
    undirected = np.sort(directed, axis=1)
    edges, counts = np.unique(undirected, axis=0, return_counts=True)
    around: dict[int, set[int]] = defaultdict(set)
    polygons: dict[int, set[int]] = defaultdict(set)
    t, polygon = 0, 0
    while t < len(triangles_T3):
        first = triangles_T3[t]
        corners = [int(v) for v in first]
        if t + 1 < len(triangles_T3) and (triangles_T3[t + 1, :2] == first[[0, 2]]).all():
            corners.append(int(triangles_T3[t + 1, 2]))
            t += 1
        for i, v in enumerate(corners):
            around[v] |= {corners[i - 1], corners[(i + 1) % len(corners)]}
            polygons[v].add(polygon)
        t, polygon = t + 1, polygon + 1
    return edges[counts == 1], around, polygons


def _boundaries(head: IctHead) -> tuple[Integers, Integers, Integers]:
    """Return the loops of vertices where the face's mesh ends: at the mouth, the left eye and the right eye."""
    edges, _, _ = _edges(head)
    beside: dict[int, list[int]] = defaultdict(list)
    for a, b in edges.tolist():
        beside[a].append(b)
        beside[b].append(a)
    loops, seen = [], set()
    for start in beside:
        loop = []
        at: int | None = start
        while at is not None and at not in seen:
            seen.add(at)
            loop.append(at)
            at = next((v for v in beside[at] if v not in seen), None)
        if len(loop) > 2:
            loops.append(np.array(loop, np.int32))
    middle_3 = head.vertices[head.landmarks[60:68]].mean(0)
    goals = [middle_3, head.eyes[0, :3], head.eyes[1, :3]]
    found = [min(loops, key=lambda loop: _distance(head, loop, goal), default=None) for goal in goals]
    mouth, left, right = found
    if mouth is None or left is None or right is None or len({id(loop) for loop in found}) < 3:
        raise AusynthError(
            f"the head's face has {len(loops)} openings",
            expected="one at the mouth and at each eye",
            do="import it again",
        )
    return mouth, left, right


def _distance(head: IctHead, loop: Integers, goal_3: Floats) -> float:
    return float(np.linalg.norm(head.vertices[loop] - goal_3, axis=1).max())


def _lip_columns(head: IctHead, loop: Integers) -> tuple[Integers, Integers]:
    """Return (K, R) vertices of the upper and of the lower lip: columns across the lips that start inside the mouth."""
    _, around, polygons = _edges(head)
    inside = {int(v) for v in loop}
    columns = []
    for v in loop.tolist():
        column = [v, *sorted(around[v] - inside)[:1]]
        while 2 <= len(column) < _LIP_ROWS:
            before, at = column[-2:]
            shared = polygons[before] & polygons[at]
            onward = [w for w in around[at] if w != before and not polygons[w] & shared]
            if len(onward) != 1:
                break
            column.append(onward[0])
        columns.append(column)
    rows = min(len(column) for column in columns)
    if rows < 2:
        raise AusynthError(
            "the head's lips are no grid", expected="columns of quads around the mouth", do="import it again"
        )
    columns_KR = np.array([column[:rows] for column in columns], np.int32)
    x_K = head.vertices[columns_KR[:, 0], 0]
    # Turned so that the loop begins at the right corner, and goes over the upper lip first.
    columns_KR = np.roll(columns_KR, -int(np.argmin(x_K)), axis=0)
    left = int(np.argmax(head.vertices[columns_KR[:, 0], 0]))
    one, other = columns_KR[: left + 1], np.concatenate([columns_KR[left:], columns_KR[:1]])[::-1]
    heights = [head.vertices[half[:, 0], 1].mean() for half in (one, other)]
    upper, lower = (one, other) if heights[0] > heights[1] else (other, one)
    return np.ascontiguousarray(upper), np.ascontiguousarray(lower)


def _lids(head: IctHead, rest_V3: Floats, skin: int) -> tuple[Integers, Integers]:
    lids = []
    for ball_4 in head.eyes:
        offset_N3 = rest_V3[:skin] - ball_4[:3]
        near_N = (np.linalg.norm(offset_N3, axis=1) < 1.6 * ball_4[3]) & (offset_N3[:, 2] > 0)
        lids.append(np.flatnonzero(near_N).astype(np.int32))
    return lids[0], lids[1]


def _near(rest_V3: Floats, skin: int, loops: list[Integers]) -> Floats:
    near_V = np.zeros(len(rest_V3), np.float32)
    for loop in loops:
        offset_VK3 = rest_V3[:skin, None] - rest_V3[None, loop]
        distance_V = np.linalg.norm(offset_VK3, axis=2).min(1)
        near_V[:skin] = np.maximum(near_V[:skin], 1 - np.clip(distance_V / 0.3, 0, 1))
    return near_V


def _anchors(rest_V3: Floats, cover_V: Floats, skin: int) -> Integers:
    """Return about 250 skin vertices spread over the face, a centimetre and a half apart."""
    chosen: list[int] = []
    candidates = np.flatnonzero((cover_V[:skin] > 0) & (rest_V3[:skin, 2] > 2))
    for v in candidates.tolist():
        if not chosen or np.linalg.norm(rest_V3[chosen] - rest_V3[v], axis=1).min() > 1.2:
            chosen.append(v)
    return np.array(chosen, np.int32)


def _smoothstep(low: float, high: float, value: Floats) -> Floats:
    share = np.clip((value - low) / (high - low), 0, 1)
    return np.asarray(share * share * (3 - 2 * share), np.float32)
