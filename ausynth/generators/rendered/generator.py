"""The generator `rendered`: conditions in, drawn faces and their labels out."""

from __future__ import annotations

import hashlib
import json
import threading
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ausynth.errors import ConfigurationError
from ausynth.generators.base import Conditions, Generated
from ausynth.generators.rendered import mesh, raster
from ausynth.generators.rendered import options as check
from ausynth.generators.rendered.actions import AUS
from ausynth.generators.rendered.backdrop import draw_backdrop
from ausynth.generators.rendered.camera import Camera, neck_share, rotation
from ausynth.generators.rendered.complexion import skin_colour
from ausynth.generators.rendered.develop import develop
from ausynth.generators.rendered.draws import stream
from ausynth.generators.rendered.identity import ANCESTRIES, Person, Traits, Variety
from ausynth.generators.rendered.labels import labels_of
from ausynth.generators.rendered.lighting import draw_light
from ausynth.generators.rendered.maps import Rendered, landmark_vertices
from ausynth.generators.rendered.materials import Look
from ausynth.generators.rendered.model import Model
from ausynth.generators.rendered.noises import GRAIN_SIZE, grain_tile, noise_tile
from ausynth.generators.rendered.shade import Scene, shade
from ausynth.generators.rendered.shape import Face, Shaper
from ausynth.generators.rendered.shell import vertex_count
from ausynth.generators.rendered.table import load_table
from ausynth.generators.rendered.wrinkles import grooves
from ausynth.labels import Floats, Labels

__all__ = ["RenderedGenerator"]

_VERSION: Final = 2
"""Raised with every change that alters a bit of a picture: it is part of the fingerprint."""

_FRAME: Final = 2.1  # height of the picture, in heights from the eyes to the chin
_MIXED: Final = 0.6  # nobody whose largest share of descent is smaller counts as of one
_SHOWS_TEETH_CM: Final = 0.03
_PIVOT_CM: Final = (0.0, 66.0, 3.0)  # where the head turns on the neck


class RenderedGenerator:
    """Draws faces from a mesh: exact labels, any number of people, no weights, no accelerator.

    >>> generator = RenderedGenerator(image_size=64)
    >>> smile = np.array([[4.0 if au == 12 else 0 for au in generator.aus]])
    >>> generator.generate(Conditions(smile, identity=np.array([7]), noise=np.array([1]))).images.shape
    (1, 64, 64, 3)

    A picture is a function of its own conditions alone: `block_size` is 1. `generate` may be called from any number of
    threads, and does its work without the GIL.

    Args:
        image_size: height and width in pixels, 32 or more.
        supersample: points a pixel in each direction, 1-4.
        yaw, pitch, roll: standard deviation of the head's pose in degrees; 0 keeps it straight. |yaw| stays within 20.
        distance: (least, most) of the camera from the face in centimetres.
        jitter: standard deviation of the face's place and size in the picture, as a share of it.
        gaze: standard deviation of the eyes' direction in the head, degrees.
        light: 0 is one soft light from the front, 1 anything from flat to a strong lamp at the side.
        background: 0 is one gray, 1 walls, gradients and rooms out of focus.
        asymmetry: standard deviation of the difference in strength between a person's two sides, 0-0.3.
        grain: standard deviation of the picture's noise, in steps of 8 bits.
        shape: how much heads differ in shape, 0-1.
        hair: share of people with hair, 0-1; the rest have shaved heads.
        beard: share of men who are drawn a beard or stubble and keep it, 0-1.
        skin: unevenness, freckles, grease and pores of the skin, 0-1.
        wrinkles: how deep age's lines are, 0-1.
        lines: how deep the lines are that come with AUs (and age), 0-1.5.

    Raises:
        ConfigurationError: an option out of its range.
    """

    name = "rendered"
    aus = AUS
    block_size = 1
    licence = "rendered from a head model under CC0 (MakeHuman/MPFB2 and Face Units data); no person is shown"

    def __init__(
        self,
        image_size: int = 112,
        *,
        supersample: int = 2,
        yaw: float = 10.0,
        pitch: float = 6.0,
        roll: float = 5.0,
        distance: tuple[float, float] = (40.0, 90.0),
        jitter: float = 0.02,
        gaze: float = 4.0,
        light: float = 1.0,
        background: float = 1.0,
        asymmetry: float = 0.12,
        grain: float = 1.5,
        shape: float = 1.0,
        hair: float = 1.0,
        beard: float = 1.0,
        skin: float = 1.0,
        wrinkles: float = 1.0,
        lines: float = 1.0,
    ) -> None:
        options = {
            "image_size": check.whole("image_size", image_size, 32, 4096),
            "supersample": check.whole("supersample", supersample, 1, 4),
            "yaw": check.within("yaw", yaw, 0, 20),
            "pitch": check.within("pitch", pitch, 0, 20),
            "roll": check.within("roll", roll, 0, 30),
            "distance": check.span("distance", distance, 25, 1000),
            "jitter": check.within("jitter", jitter, 0, 0.2),
            "gaze": check.within("gaze", gaze, 0, 20),
            "light": check.within("light", light, 0, 1),
            "background": check.within("background", background, 0, 1),
            "asymmetry": check.within("asymmetry", asymmetry, 0, 0.3),
            "grain": check.within("grain", grain, 0, 30),
            "shape": check.within("shape", shape, 0, 1),
            "hair": check.within("hair", hair, 0, 1),
            "beard": check.within("beard", beard, 0, 1),
            "skin": check.within("skin", skin, 0, 1),
            "wrinkles": check.within("wrinkles", wrinkles, 0, 1),
            "lines": check.within("lines", lines, 0, 1.5),
        }
        self.image_size = int(image_size)
        self._factor, self._light, self._background, self._grain = int(supersample), light, background, grain
        self._lines, self._detail = lines, skin
        self._camera = Camera(yaw, pitch, roll, (float(distance[0]), float(distance[1])), jitter, gaze)
        self._shaper = Shaper(asymmetry, Variety(shape, hair, beard, skin, wrinkles))
        head = self._shaper.head
        self._model = Model(head)
        self._neck_V = np.concatenate([neck_share(head), np.ones(vertex_count(), np.float32)])
        self._kept = threading.local()
        recipe = json.dumps([self.name, _VERSION, head.fingerprint, load_table().fingerprint, options], sort_keys=True)
        self.fingerprint = hashlib.sha256(recipe.encode()).hexdigest()[:16]

    def generate(self, conditions: Conditions) -> Generated:
        """Return (B, H, W, 3) pictures and the labels of what they show.

        Raises:
            ConfigurationError: `conditions.intensity` has not one column for each of `aus`.
        """
        self._require_columns(conditions)
        images_BHW3 = np.empty((len(conditions), self.image_size, self.image_size, 3), np.uint8)
        shots = [
            self._draw(conditions.intensity[b], int(conditions.identity[b]), int(conditions.noise[b]), images_BHW3[b])
            for b in range(len(conditions))
        ]
        return Generated(images_BHW3, labels_of([shot.face for shot in shots]))

    def render(self, conditions: Conditions) -> Rendered:
        """Return the pictures and labels that `generate` gives, with landmarks, face mask and depth.

        Raises:
            ConfigurationError: `conditions.intensity` has not one column for each of `aus`.
        """
        self._require_columns(conditions)
        count, size = len(conditions), self.image_size
        images_BHW3, faces = np.empty((count, size, size, 3), np.uint8), []
        landmarks_B682 = np.empty((count, 68, 2), np.float32)
        mask_BHW, depth_BHW = np.empty((count, size, size), bool), np.empty((count, size, size), np.float32)
        for b in range(count):
            asked = (conditions.intensity[b], int(conditions.identity[b]), int(conditions.noise[b]))
            shot = self._draw(*asked, images_BHW3[b])
            faces.append(shot.face)
            landmarks_B682[b] = shot.seen[landmark_vertices(), :2] / self._factor - 0.5
            middle = slice(self._factor // 2, None, self._factor)
            triangle_HW, nearest_HW = shot.buffers.triangle[middle, middle], shot.buffers.nearest[middle, middle]
            mask_BHW[b] = (triangle_HW >= 0) & self._model.face(shot.person)[triangle_HW]
            depth_BHW[b] = np.where(triangle_HW >= 0, 1 / np.maximum(nearest_HW, 1e-9), np.inf)
        return Rendered(images_BHW3, labels_of(faces), landmarks_B682, mask_BHW, depth_BHW)

    def label(self, conditions: Conditions) -> Labels:
        """Return the labels that `generate` would give, without drawing: they are the mesh's."""
        self._require_columns(conditions)
        faces = []
        for intensity_A, identity, noise in zip(
            conditions.intensity, conditions.identity.tolist(), conditions.noise.tolist(), strict=True
        ):
            gaze = rotation(*self._camera.view(noise).gaze)
            faces.append(self._shaper.face(self._shaper.person(identity), intensity_A, gaze))
        return labels_of(faces)

    def sides(self, identity: NDArray[np.int64]) -> Floats:
        """Return (B, 2, A) how strongly each person's left and right side moves, as a share of what was asked.

        An option of the generator (`asymmetry`) says how uneven people may be; 1 on both sides without it.
        """
        asymmetry_BA = np.stack([self._shaper.person(int(number)).asymmetry for number in identity])
        return np.stack([1 + np.minimum(asymmetry_BA, 0), 1 - np.maximum(asymmetry_BA, 0)], 1)

    def attributes(self, identity: int) -> dict[str, Any]:
        """Return a person's "age" in years, "gender", "ethnicity" and "clear" (no hair over forehead and lips)."""
        traits = self._shaper.person(identity).traits
        ancestry = ANCESTRIES[int(np.argmax(traits.ancestry))] if max(traits.ancestry) > _MIXED else "mixed"
        return {
            "age": round(traits.age),
            "gender": "male" if traits.male > 0.5 else "female",
            "ethnicity": ancestry,
            "clear": traits.hairdo.fringe == 0 and (traits.stubble > 0 or not any(traits.whiskers[:3])),
        }

    def _require_columns(self, conditions: Conditions) -> None:
        if conditions.intensity.shape[1] != len(self.aus):
            raise ConfigurationError(
                f"conditions.intensity has {conditions.intensity.shape[1]} columns",
                expected=f"{len(self.aus)}, one for each of {self.aus}",
                do="bring the label vectors to the generator's AUs, in its order",
            )

    def _draw(self, intensity_A: Floats, identity: int, noise: int, out_HW3: NDArray[np.uint8]) -> _Shot:
        """Write one picture into `out_HW3` and return what the camera saw."""
        shot = self._shoot(intensity_A, identity, noise)
        light_HW3 = np.empty((self.image_size, self.image_size, 3), np.float32)
        traits, fields_VF = shot.person.traits, self._model.fields(shot.person, shot.turn)
        scene = Scene(
            triangles=self._model.triangles,
            kinds=self._model.kinds,
            normals=shot.normals,
            fields=fields_VF,
            grooves=grooves(shot.face.intensity, shot.person.asymmetry, traits.wrinkles, self._lines),
            backdrop=draw_backdrop(noise, self._background),
        )
        buffers, detail = shot.buffers, np.float32(self._detail * np.clip((shot.scale - 9) / 9, 0, 1))
        shade(
            buffers.triangle, buffers.weights, buffers.nearest, self._factor, scene, _look(traits),
            draw_light(noise, self._light, skin_colour(traits.melanin)), noise_tile(), detail, light_HW3,
        )  # fmt: skip
        down, right, apart = stream("sensor", noise).integers(0, GRAIN_SIZE, 3).tolist()
        develop(light_HW3, self._grain, grain_tile(), (down, right, apart), out_HW3)
        return shot

    def _shoot(self, intensity_A: Floats, identity: int, noise: int) -> _Shot:
        """Return what the camera sees of one face, before any light falls on it."""
        person, view = self._shaper.person(identity), self._camera.view(noise)
        face = self._shaper.face(person, intensity_A, rotation(*view.gaze))
        turn_33 = rotation(view.yaw, view.pitch, view.roll)
        pivot_3 = np.array(_PIVOT_CM, np.float32)
        posed_V3 = mesh.pose(np.concatenate([face.vertices, person.shell.vertices]), turn_33, pivot_3, self._neck_V)
        target_3 = turn_33 @ (person.face - pivot_3) + pivot_3
        points = self.image_size * self._factor
        scale = points / (_FRAME * person.height) * view.zoom
        # Slightly above the middle: a face's box has more forehead than neck.
        middle_2 = np.array([0.5 + view.shift[0], 0.56 + view.shift[1]], np.float32) * np.float32(points)
        seen_V3 = raster.project(posed_V3, target_3, np.float32(view.distance), np.float32(scale), middle_2)
        rules_T = self._model.rules(person, shows_mouth=face.gap_cm >= _SHOWS_TEETH_CM)
        normals_V3 = mesh.shown_normals(posed_V3, self._model.triangles, rules_T)
        buffers = self._buffers()
        raster.fill(
            seen_V3, self._model.triangles, rules_T, self._model.cuts(person, normals_V3), noise_tile(), points,
            buffers.triangle, buffers.weights, buffers.nearest,
        )  # fmt: skip
        return _Shot(person, face, turn_33, seen_V3, normals_V3, scale / self._factor, view.distance, buffers)

    def _buffers(self) -> _Buffers:
        """Return this thread's buffers, which every picture overwrites."""
        buffers = getattr(self._kept, "buffers", None)
        if buffers is None:
            points = self.image_size * self._factor
            buffers = self._kept.buffers = _Buffers(
                np.empty((points, points), np.int32),
                np.empty((points, points, 2), np.float32),
                np.empty((points, points), np.float32),
            )
        return buffers


class _Buffers(NamedTuple):
    triangle: NDArray[np.int32]
    weights: Floats
    nearest: Floats


class _Shot(NamedTuple):
    person: Person
    face: Face
    turn: Floats
    seen: Floats
    normals: Floats
    scale: float
    distance: float
    buffers: _Buffers


def _look(traits: Traits) -> Look:
    curl = traits.hairdo.curl
    return Look(*(_singles(curl if name == "curl" else getattr(traits, name)) for name in Look._fields))


def _singles(value: float | tuple[float, ...]) -> Any:
    return tuple(np.float32(v) for v in value) if isinstance(value, tuple) else np.float32(value)
