"""One picture: a sitter's face before a camera, as arrays. Everything that depends on a picture's own numbers alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from ausynth.generators.portrait.backdrop import draw_backdrop
from ausynth.generators.portrait.kernels import Integers, kernel
from ausynth.generators.portrait.layer import carry
from ausynth.generators.portrait.light import BRIGHTEST, DARKEST, draw_light, shade_of
from ausynth.generators.portrait.pixels import LINEAR
from ausynth.generators.portrait.raster import box_of, clear, rasterise
from ausynth.generators.portrait.shade import Front, Lens, Sheet, shade
from ausynth.generators.portrait.shape import Face, Shaper
from ausynth.generators.portrait.sitter import Sitter
from ausynth.generators.portrait.wrinkles import grooves
from ausynth.generators.rendered import mesh
from ausynth.generators.rendered.camera import View, rotation
from ausynth.generators.rendered.mesh import normals
from ausynth.generators.rendered.raster import project
from ausynth.labels import Floats

__all__ = ["FRAME", "MIDDLE", "OPEN_CM", "PIVOT_CM", "Artist", "Drawing", "Settings", "turning"]

FRAME: Final = 1.86  # height of the picture, in heights from the eyes to the chin
MIDDLE: Final = 0.60  # the place half way from the eyes to the chin, as a share of the picture's height from above
PIVOT_CM: Final = (0.0, -4.5, 0.0)  # where the head turns on the neck
_NECK_CM: Final = (-17.0, -8.5)  # below the first nothing turns with the head, above the second all of it
OPEN_CM: Final = 0.02


@dataclass(frozen=True)
class Settings:
    """What is the same for all pictures of a generator: see `PortraitGenerator`."""

    light: float
    background: float
    wrinkles: float


@dataclass(frozen=True, eq=False)
class Drawing:
    """What a picture shows, beside the picture.

    Attributes:
        posed: (V, 3) vertices before the camera, centimetres.
        seen: (V, 3) column and row in points of the picture, and nearness (1/cm).
        normals: (V, 3) in the picture's axes.
        triangle: (P, P) the mesh's triangle at each point, -1 where there is none.
        nearest: (P, P) its nearness.
    """

    posed: Floats
    seen: Floats
    normals: Floats
    triangle: Integers
    nearest: Floats


class Artist:
    """Draws faces of one head. Thread-safe: it keeps nothing of a picture.

    Attributes:
        topology: of the head.
        outer: (T, 3) triangles of skin and eyeballs.
        turning_V: (V,) see `turning`.
        eye_V3: (V, 3) on eyeballs: direction from the middle at rest, unit length.
        rim: vertices along the lips' inner edges.
        at_rest_V: (V,) how much light reaches each vertex of an open-eyed face with closed lips: lashes shade the lids.
    """

    def __init__(self, shaper: Shaper, settings: Settings) -> None:
        topology = shaper.topology
        self.topology, self._settings = topology, settings
        self.outer = np.ascontiguousarray(topology.triangles[: topology.outer])
        self.turning_V = turning(topology.rest)
        self.eye_V3 = np.zeros_like(topology.rest)
        for own, ball_4 in zip(topology.balls, topology.ball_middle, strict=True):
            offset_N3 = topology.rest[own] - ball_4[:3]
            self.eye_V3[own] = offset_N3 / np.linalg.norm(offset_N3, axis=1, keepdims=True)
        self.rim = np.unique(np.concatenate([topology.lips_upper[:, -6:].ravel(), topology.lips_lower[:, -6:].ravel()]))
        self.at_rest_V = (1 - 0.22 * topology.lid_edge).astype(np.float32)

    def pose(self, sitter: Sitter, face: Face, view: View, points: int) -> tuple[Floats, Floats, Floats, Floats]:
        """Return the turned vertices, as seen in a picture of `points` points, the turn and the camera's target."""
        turn_33 = rotation(view.yaw, view.pitch, view.roll)
        pivot_3 = np.array(PIVOT_CM, np.float32)
        posed_V3 = mesh.pose(face.vertices, turn_33, pivot_3, self.turning_V)
        target_3 = (turn_33 @ (sitter.build.middle - pivot_3) + pivot_3).astype(np.float32)
        seen_V3 = self._project(posed_V3, target_3, sitter, view, points)
        return posed_V3, seen_V3, turn_33, target_3

    def _project(self, posed_V3: Floats, target_3: Floats, sitter: Sitter, view: View, points: int) -> Floats:
        scale = points / (FRAME * sitter.build.height) * view.zoom
        middle_2 = np.array([0.5 + view.shift[0], MIDDLE + view.shift[1]], np.float32) * np.float32(points)
        return project(posed_V3, target_3, np.float32(view.distance), np.float32(scale), middle_2)

    def draw(self, sitter: Sitter, face: Face, view: View, noise: int, light_HW3: Floats) -> Drawing:
        """Write the light of one picture into (P, P, 3) `light_HW3`, and return what it shows."""
        topology, points = self.topology, light_HW3.shape[0]
        posed_V3, seen_V3, turn_33, target_3 = self.pose(sitter, face, view, points)
        is_open = face.gap_cm > OPEN_CM
        triangles_T3 = topology.triangles if is_open else self.outer
        shape = (points, points)
        nearest_HW, triangle_HW = np.empty(shape, np.float32), np.empty(shape, np.int32)
        weights_HW2 = np.empty((*shape, 2), np.float32)
        clear(nearest_HW, triangle_HW)
        whole_4 = np.array([0, points - 1, 0, points - 1], np.int32)
        rasterise(seen_V3, triangles_T3, 0, topology.outer, whole_4, nearest_HW, triangle_HW, weights_HW2)
        if is_open:
            box_4 = np.empty(4, np.int32)
            box_of(seen_V3, self.rim, np.float32(1), points, points, box_4)
            rasterise(
                seen_V3, triangles_T3, topology.outer, len(triangles_T3), box_4, nearest_HW, triangle_HW, weights_HW2
            )
        normals_V3 = normals(posed_V3, triangles_T3)
        light = draw_light(noise, self._settings.light, sitter.light)
        shade_V3 = np.empty_like(posed_V3)
        shade_of(normals_V3, light.weights, shade_V3)
        front = Front(
            triangles=triangles_T3,
            kinds=topology.kinds,
            uv=topology.uv,
            rest=topology.rest,
            shade=shade_V3,
            normals=normals_V3,
            cover=topology.cover,
            rim=topology.rim,
            open=self._openness(face, is_open=is_open),
            eye=self.eye_V3,
            texture=sitter.texture,
            grooves=grooves(face.intensity, self._settings.wrinkles * sitter.wrinkles),
        )
        sheet, sheet_HW, sheet_weights_HW2 = self._sheet(sitter, face, view, turn_33, target_3, light.weights, points)
        lens = Lens(light.key, light.key_colour, sitter.eyes)
        light_HW3[:] = draw_backdrop(noise, self._settings.background, points)
        shade(triangle_HW, weights_HW2, front, sheet_HW, sheet_weights_HW2, sheet, lens, LINEAR, light_HW3)
        return Drawing(posed_V3, seen_V3, normals_V3, triangle_HW, nearest_HW)

    def _openness(self, face: Face, *, is_open: bool) -> Floats:
        topology = self.topology
        open_V = self.at_rest_V.copy()
        for own, loop in zip(topology.balls, topology.lid_loops, strict=True):
            _under_lids(face.vertices, own, loop, open_V)
        if is_open:
            _behind_lips(face.vertices, self.rim, topology.outside, np.float32(face.gap_cm), open_V)
        return open_V

    def _sheet(  # noqa: PLR0917
        self, sitter: Sitter, face: Face, view: View, turn_33: Floats, target_3: Floats, weights_93: Floats, points: int
    ) -> tuple[Sheet, Integers, Floats]:
        layer, anchors = sitter.layer, self.topology.anchors
        moves_N3 = face.vertices[anchors] - sitter.build.vertices[anchors]
        nodes_G3 = carry(layer.nodes, layer.carriers, layer.pulls, moves_N3)
        posed_G3 = mesh.pose(nodes_G3, turn_33, np.array(PIVOT_CM, np.float32), turning(layer.nodes))
        seen_G3 = self._project(posed_G3, target_3, sitter, view, points)
        shape = (points, points)
        nearest_HW, triangle_HW = np.empty(shape, np.float32), np.empty(shape, np.int32)
        weights_HW2 = np.empty((*shape, 2), np.float32)
        clear(nearest_HW, triangle_HW)
        box_4 = np.array([0, points - 1, 0, points - 1], np.int32)
        rasterise(seen_G3, layer.triangles, 0, len(layer.triangles), box_4, nearest_HW, triangle_HW, weights_HW2)
        light_G3 = np.empty_like(nodes_G3)
        shade_of(layer.normals @ turn_33.T, weights_93, light_G3)
        light_G3 = np.clip(light_G3 / layer.lit, DARKEST, BRIGHTEST)
        return Sheet(layer.triangles, layer.places, light_G3, layer.picture), triangle_HW, weights_HW2


def turning(vertices_V3: Floats) -> Floats:
    """Return (V,) how far each vertex turns with the head: 0 at the shoulders, 1 from the jaw up."""
    still, all_of_it = _NECK_CM
    share_V = np.clip((vertices_V3[:, 1] + 0.15 * vertices_V3[:, 2] - still) / (all_of_it - still), 0, 1)
    return (share_V * share_V * (3 - 2 * share_V)).astype(np.float32)


@kernel
def _under_lids(vertices_V3: Floats, ball_N: Integers, loop_K: Integers, open_V: Floats) -> None:
    """Write how much light reaches an eyeball: lids and lashes shade what is near them, the upper ones more."""
    middle = np.float32(0)
    for k in loop_K:
        middle += vertices_V3[k, 1] / len(loop_K)
    for i in ball_N:
        least = np.float32(9)
        for k in loop_K:
            x, y = vertices_V3[i, 0] - vertices_V3[k, 0], vertices_V3[i, 1] - vertices_V3[k, 1]
            z = vertices_V3[i, 2] - vertices_V3[k, 2]
            distance = np.sqrt(x * x + y * y + z * z)
            if vertices_V3[k, 1] < middle:
                distance *= np.float32(2)
            least = min(least, distance)
        share = min(max((least - np.float32(0.02)) / np.float32(0.5), np.float32(0)), np.float32(1))
        open_V[i] = np.float32(0.4) + np.float32(0.6) * share * (np.float32(2) - share)


@kernel
def _behind_lips(vertices_V3: Floats, rim_K: Integers, first: int, gap: np.float32, open_V: Floats) -> None:
    """Write how much light reaches the inside of the mouth: less behind the lips, the less the lips are apart."""
    front, top, bottom = np.float32(-99), np.float32(-99), np.float32(99)
    for k in rim_K:
        front = max(front, vertices_V3[k, 2])
        top, bottom = max(top, vertices_V3[k, 1]), min(bottom, vertices_V3[k, 1])
    reach = np.float32(0.9) + np.float32(1.1) * gap
    for i in range(first, len(vertices_V3)):
        depth = max(np.float32(0), front - vertices_V3[i, 2] - np.float32(0.4))
        side = abs(vertices_V3[i, 0]) / np.float32(2.6)
        open_V[i] = np.exp(-depth / reach) * (np.float32(1) - np.float32(0.35) * min(side, np.float32(1)))
