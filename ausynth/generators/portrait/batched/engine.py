"""The portrait look on a torch device: whole batches of conditions in, pictures and labels out.

What depends on one picture's own numbers alone and costs little (its draws, its AUs' table look-ups) is made on the
CPU; all work on vertices and points is done for a whole chunk of pictures at once, without a loop over them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ausynth.generators.base import Conditions
from ausynth.generators.portrait.batched import mesh
from ausynth.generators.portrait.batched.backdrop import Backdrops
from ausynth.generators.portrait.batched.labels import BatchLabeller
from ausynth.generators.portrait.batched.light import draw_lights, shade_of
from ausynth.generators.portrait.batched.openness import Openness
from ausynth.generators.portrait.batched.people import Cast, Casting
from ausynth.generators.portrait.batched.raster import Seen, rasterise
from ausynth.generators.portrait.batched.sensor import Camera as Lens
from ausynth.generators.portrait.batched.shade import MOUTH, Front, Sheet, Surface, shade
from ausynth.generators.portrait.batched.shape import FaceMaker, Faces, Motion, rotations
from ausynth.generators.portrait.batched.views import blinks, draw_views
from ausynth.generators.portrait.batched.wrinkles import Engraver
from ausynth.generators.portrait.draw import FRAME, MIDDLE, OPEN_CM, PIVOT_CM, Artist, Settings
from ausynth.generators.portrait.labels import Labeller
from ausynth.generators.portrait.light import BRIGHTEST, DARKEST
from ausynth.generators.portrait.maps import Maps
from ausynth.generators.portrait.pixels import LINEAR
from ausynth.generators.portrait.sensor import Sensor
from ausynth.generators.portrait.shape import Shaper
from ausynth.generators.portrait.sitter import Studio
from ausynth.generators.rendered.camera import Camera
from ausynth.labels import Floats

__all__ = ["Engine", "Plan"]

_POINTS_AT_ONCE: Final = 1 << 22
"""Of all pictures of a chunk: 256 pictures of 128 points. A constant, since a chunk's size can change last bits."""


@dataclass(frozen=True)
class Plan:
    """What the pictures of a generator have in common: see `PortraitGenerator`."""

    image_size: int
    factor: int
    texture_size: int
    blink: float
    camera: Camera
    sensor: Sensor
    settings: Settings


@dataclass(frozen=True, eq=False)
class _Scene:
    """B faces before their cameras; `seen` and the scale are in points of the picture."""

    cast: Cast
    motion: Motion
    faces: Faces
    turns: Tensor
    target: Tensor
    distance: Tensor
    scale: Tensor
    middle: Tensor
    posed: Tensor
    seen: Tensor


class Engine:
    """Draws the faces of one head. For one thread at a time."""

    def __init__(  # noqa: PLR0917
        self, plan: Plan, shaper: Shaper, artist: Artist, labeller: Labeller, studio: Studio, device: torch.device
    ) -> None:
        topology = shaper.topology
        self._plan, self._device, self.topology = plan, device, topology
        self._points = plan.image_size * plan.factor
        self._maker = FaceMaker(shaper, device)
        self._casting = Casting(studio, shaper, self._maker, plan.texture_size, device)
        self._labeller = BatchLabeller(labeller, shaper, device)
        self._openness, self._engraver = Openness(artist, device), Engraver(device)
        self._backdrops = Backdrops(plan.settings.background, self._points, device)
        self._lens = Lens(plan.sensor, plan.image_size, plan.factor, device)
        self._pivot = self._on(np.array(PIVOT_CM, np.float32))
        self._turning = self._on(artist.turning_V)[:, None]
        self._rim = self._on(artist.rim.astype(np.int64))
        everything = np.arange(len(topology.source), dtype=np.int32)
        self._incidence = mesh.Incidence(topology.triangles, everything, device)
        self._inside_T = torch.arange(len(topology.triangles), device=device) >= topology.outer
        x_V, y_V = topology.rest[:, 0], topology.rest[:, 1]
        eye_V2 = artist.eye_V3[:, :2]
        fixed_V7 = np.column_stack([topology.cover, topology.rim, x_V, y_V, eye_V2, x_V > 0])
        self._surface = Surface(
            triangles=self._on(topology.triangles.astype(np.int64)),
            kinds=self._on(topology.kinds.astype(np.int64)),
            uv=self._on(topology.uv),
            fixed=self._on(fixed_V7.astype(np.float32)),
            mouth=self._on(np.array(MOUTH, np.float32)),
            linear=self._on(LINEAR),
        )

    def draw(self, conditions: Conditions, images_BHW3: NDArray[np.uint8], maps: Maps | None) -> Floats:
        """Write the pictures, and where the faces are in them, and return (B, A) the labels of what they show."""
        rows = []
        with _undisturbed(self._device):
            for part in self._chunks(len(conditions)):
                scene = self._scene(conditions.rows(np.arange(part.start, part.stop)))
                light_BPP3, seen = self._light(scene, conditions.noise[part])
                images = self._lens.expose(light_BPP3, conditions.noise[part])
                images_BHW3[part] = images.cpu().numpy()
                rows.append(self._rows(scene))
                if maps is not None:
                    self._map(scene, seen, maps, part)
        return np.concatenate(rows) if rows else np.zeros((0, conditions.intensity.shape[1]), np.float32)

    def label(self, conditions: Conditions) -> Floats:
        """Return the (B, A) labels that `draw` gives."""
        with _undisturbed(self._device):
            parts = self._chunks(len(conditions))
            rows = [self._rows(self._scene(conditions.rows(np.arange(part.start, part.stop)))) for part in parts]
        return np.concatenate(rows) if rows else np.zeros((0, conditions.intensity.shape[1]), np.float32)

    def _chunks(self, count: int) -> list[slice]:
        size = max(1, _POINTS_AT_ONCE // self._points**2)
        return [slice(start, min(start + size, count)) for start in range(0, count, size)]

    def _on(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self._device)

    def _scene(self, conditions: Conditions) -> _Scene:
        """Return faces before the camera."""
        views = draw_views(self._plan.camera, conditions.noise)
        cast = self._casting.cast(conditions.identity)
        blink_B = blinks(self._plan.blink, conditions.noise)
        motion = self._maker.motion(conditions.intensity, cast.asymmetry[cast.who], views.gaze, blink_B)
        builds = cast.builds.rows(self._on(cast.who))
        faces = self._maker.faces(builds, motion)
        turns_B33 = self._on(rotations(*views.angles.T))
        posed_BV3 = mesh.pose(faces.vertices, turns_B33, self._pivot, self._turning)
        target_B3 = mesh.turned((builds.middle - self._pivot)[:, None], turns_B33)[:, 0] + self._pivot
        points = self._points
        zoom_B, distance_B = (self._on(part.astype(np.float32)) for part in (views.zoom, views.distance))
        scale_B = points / (FRAME * builds.height) * zoom_B
        middle_B2 = self._on(((views.shift + np.array([0.5, MIDDLE])) * points).astype(np.float32))
        seen_BV3 = mesh.project(posed_BV3, target_B3, distance_B, scale_B, middle_B2)
        return _Scene(
            cast, motion, faces, turns_B33, target_B3, distance_B, scale_B, middle_B2, posed_BV3, seen_BV3
        )  # fmt: skip

    def _light(self, scene: _Scene, noise_B: NDArray[np.int64]) -> tuple[Tensor, Seen]:
        """Return (B, P, P, 3) the linear light of the pictures, and where the meshes are seen."""
        who, cast = self._on(scene.cast.who), scene.cast
        is_open_B = scene.faces.gap > OPEN_CM
        inner = (self.topology.outer, self._between_lips(scene.seen, is_open_B))
        seen = rasterise(scene.seen, self._surface.triangles, self._points, inner)
        counts_BT = (~self._inside_T | is_open_B[:, None]).float()
        normals_BV3 = mesh.normals(scene.posed, self._surface.triangles, self._incidence, counts_BT)
        lights = draw_lights(noise_B, self._plan.settings.light, cast.lights[cast.who])
        weights_B93 = self._on(lights.weights)
        open_BV = self._openness.of(scene.faces.vertices, scene.faces.gap)
        strength_B = (self._plan.settings.wrinkles * cast.wrinkles[cast.who]).astype(np.float32)
        front = Front(
            seen=seen,
            own=torch.cat([shade_of(normals_BV3, weights_B93), normals_BV3, open_BV[..., None]], 2),
            texture=cast.texture,
            who=who,
            eyes=self._casting.roster.tables.eyes,
            eyes_of=cast.eyes[who],
            grooves=self._engraver.grooves(scene.motion.made, strength_B),
            key=self._on(lights.key),
            key_colour=self._on(lights.key_colour),
        )
        sheet = self._sheet(scene, weights_B93, cast.base[who], who)
        light_BPP3 = self._backdrops.paint(noise_B)
        shade(self._surface, front, sheet, light_BPP3)
        return light_BPP3, seen

    def _between_lips(self, seen_BV3: Tensor, is_open_B: Tensor) -> Tensor:
        """Return (B, 4) left, right, top and bottom of where what is behind the lips may be seen; nowhere if shut."""
        rim_BK2, last = seen_BV3[:, self._rim, :2], self._points - 1
        low_B2, high_B2 = (rim_BK2.amin(1) - 1).long().clamp(min=0), (rim_BK2.amax(1) + 1).long().clamp(max=last)
        box_B4 = torch.stack([low_B2[:, 0], high_B2[:, 0], low_B2[:, 1], high_B2[:, 1]], 1)
        shut_4 = self._on(np.array([1, 0, 1, 0]))
        return torch.where(is_open_B[:, None], box_B4, shut_4)

    def _sheet(self, scene: _Scene, weights_B93: Tensor, base_B: Tensor, who: Tensor) -> Sheet:
        tables = self._casting.roster.tables
        anchors = self._on(self.topology.anchors.astype(np.int64))
        moves_BN3 = scene.faces.vertices[:, anchors] - scene.cast.builds.vertices[:, anchors][who]
        nodes_BG3 = tables.nodes[base_B]
        carriers_BGK, pulls_BGK = tables.carriers[base_B].long(), tables.pulls[base_B]
        moved_BG3 = nodes_BG3.clone()
        for k in range(carriers_BGK.shape[2]):
            own_BG3 = moves_BN3.gather(1, carriers_BGK[:, :, k, None].expand(-1, -1, 3))
            moved_BG3 = moved_BG3 + pulls_BGK[:, :, k, None] * own_BG3
        posed_BG3 = mesh.pose(moved_BG3, scene.turns, self._pivot, tables.node_turning[base_B])
        seen_BG3 = mesh.project(posed_BG3, scene.target, scene.distance, scene.scale, scene.middle)
        triangles_BT3 = tables.triangles[base_B].long()
        seen = rasterise(seen_BG3, triangles_BT3, self._points)
        light_BG3 = shade_of(mesh.turned(tables.node_normals[base_B], scene.turns), weights_B93)
        light_BG3 = (light_BG3 / tables.lit[base_B]).clamp(DARKEST, BRIGHTEST)
        return Sheet(seen, triangles_BT3, tables.places[base_B], light_BG3, tables.picture, base_B)

    def _rows(self, scene: _Scene) -> Floats:
        shares_BR = self._labeller.shares(scene.seen, self._points)
        gap_B, drop_B = scene.faces.gap.cpu().numpy(), scene.faces.drop.cpu().numpy()
        return self._labeller.rows(scene.motion, gap_B, drop_B, shares_BR.cpu().numpy())

    def _map(self, scene: _Scene, seen: Seen, maps: Maps, part: slice) -> None:
        factor = self._plan.factor
        landmarks_B682 = scene.seen[:, self._on(self.topology.landmarks.astype(np.int64)), :2]
        maps.landmarks[part] = (landmarks_B682 / factor - 0.5).cpu().numpy()
        # The point nearest to each pixel's centre stands for it: a mean of depths would lie between two surfaces.
        middle = slice(factor // 2, None, factor)
        triangle_BHW, nearest_BHW = seen.triangle[:, middle, middle], seen.nearest[:, middle, middle]
        cover_T = self._surface.fixed[:, 0][self._surface.triangles].mean(1)
        mask_BHW = (triangle_BHW >= 0) & (cover_T[triangle_BHW.clamp(min=0)] > 0.5)
        depth_BHW = torch.where(mask_BHW, 1 / nearest_BHW.clamp(min=1e-6), torch.inf)
        maps.mask[part], maps.depth[part] = mask_BHW.cpu().numpy(), depth_BHW.cpu().numpy()


@contextmanager
def _undisturbed(device: torch.device) -> Iterator[None]:
    """Keep the training loop's autocast and autograd out of the pictures."""
    with torch.inference_mode(), torch.autocast(device.type, enabled=False):
        yield
