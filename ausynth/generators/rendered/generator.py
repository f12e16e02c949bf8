"""The generator `rendered`: conditions in, drawn faces and their labels out."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ausynth.errors import ConfigurationError
from ausynth.generators.base import Conditions, Generated
from ausynth.generators.rendered import mesh, raster
from ausynth.generators.rendered import shade as shading
from ausynth.generators.rendered.actions import AUS
from ausynth.generators.rendered.camera import Camera, neck_share, rotation
from ausynth.generators.rendered.develop import develop
from ausynth.generators.rendered.draws import stream
from ausynth.generators.rendered.identity import Traits
from ausynth.generators.rendered.labels import labels_of
from ausynth.generators.rendered.lighting import draw_light
from ausynth.generators.rendered.materials import Look
from ausynth.generators.rendered.paint import FIELDS, noise_tile, vertex_fields
from ausynth.generators.rendered.shade import Scene, shade
from ausynth.generators.rendered.shape import Face, Shaper
from ausynth.generators.rendered.wrinkles import grooves
from ausynth.labels import Floats, Labels

__all__ = ["RenderedGenerator"]

_VERSION: Final = 1
"""Raised with every change that alters a bit of a picture: it is part of the fingerprint."""

_KINDS: Final = {
    "skin": shading.SKIN,
    "eye_left": shading.EYE,
    "eye_right": shading.EYE,
    "teeth_upper": shading.TEETH,
    "teeth_lower": shading.TEETH,
    "tongue": shading.TONGUE,
    "lashes": shading.LASHES,
}
_HAIR: Final = FIELDS.index("hair")
_FRAME: Final = 2.1  # height of the picture, in heights from the eyes to the chin
_SHOWS_TEETH_CM: Final = 0.03
_LASH_CM: Final = 0.11  # from one lash to the next
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
        background: 0 is one gray, 1 any plain colour.
        asymmetry: standard deviation of the difference in strength between a person's two sides, 0-0.3.
        grain: standard deviation of the picture's noise, in steps of 8 bits.

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
    ) -> None:
        options = {
            "image_size": _whole("image_size", image_size, 32, 4096),
            "supersample": _whole("supersample", supersample, 1, 4),
            "yaw": _within("yaw", yaw, 0, 20),
            "pitch": _within("pitch", pitch, 0, 20),
            "roll": _within("roll", roll, 0, 30),
            "distance": _span("distance", distance, 25, 1000),
            "jitter": _within("jitter", jitter, 0, 0.2),
            "gaze": _within("gaze", gaze, 0, 20),
            "light": _within("light", light, 0, 1),
            "background": _within("background", background, 0, 1),
            "asymmetry": _within("asymmetry", asymmetry, 0, 0.3),
            "grain": _within("grain", grain, 0, 30),
        }
        self.image_size = int(image_size)
        self._factor, self._light, self._background, self._grain = int(supersample), light, background, grain
        self._camera = Camera(yaw, pitch, roll, (float(distance[0]), float(distance[1])), jitter, gaze)
        self._shaper = Shaper(asymmetry)
        head = self._shaper.head
        self._neck_V = neck_share(head)
        self._kinds_T = np.array([_KINDS[name] for name in head.material_names], np.uint8)[head.materials]
        is_lower_T = head.vertices[head.triangles[:, 0], 1] < head.vertices[head.vertices_of("eye_left"), 1].mean()
        self._lash_T = np.where(is_lower_T, 0.18, 0.5).astype(np.float32)
        self._is_inside_T = np.isin(self._kinds_T, (shading.TEETH, shading.TONGUE))
        self._is_lash_T = self._kinds_T == shading.LASHES
        self._comb_V = (head.vertices[:, 0] / _LASH_CM).astype(np.float32)
        recipe = json.dumps([self.name, _VERSION, head.fingerprint, options], sort_keys=True)
        self.fingerprint = hashlib.sha256(recipe.encode()).hexdigest()[:16]

    def generate(self, conditions: Conditions) -> Generated:
        """Return (B, H, W, 3) pictures and the labels of what they show.

        Raises:
            ConfigurationError: `conditions.intensity` has not one column for each of `aus`.
        """
        self._require_columns(conditions)
        images_BHW3 = np.empty((len(conditions), self.image_size, self.image_size, 3), np.uint8)
        faces = [
            self._draw(conditions.intensity[b], int(conditions.identity[b]), int(conditions.noise[b]), images_BHW3[b])
            for b in range(len(conditions))
        ]
        return Generated(images_BHW3, labels_of(faces))

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

    def _require_columns(self, conditions: Conditions) -> None:
        if conditions.intensity.shape[1] != len(self.aus):
            raise ConfigurationError(
                f"conditions.intensity has {conditions.intensity.shape[1]} columns",
                expected=f"{len(self.aus)}, one for each of {self.aus}",
                do="bring the label vectors to the generator's AUs, in its order",
            )

    def _draw(self, intensity_A: Floats, identity: int, noise: int, out_HW3: NDArray[np.uint8]) -> Face:
        """Write one picture into `out_HW3` and return the face it shows."""
        head, person = self._shaper.head, self._shaper.person(identity)
        view = self._camera.view(noise)
        face = self._shaper.face(person, intensity_A, rotation(*view.gaze))
        turn_33 = rotation(view.yaw, view.pitch, view.roll)
        pivot_3 = np.array(_PIVOT_CM, np.float32)
        posed_V3 = mesh.pose(face.vertices, turn_33, pivot_3, self._neck_V)
        target_3 = turn_33 @ (person.face - pivot_3) + pivot_3

        points = self.image_size * self._factor
        scale = points / (_FRAME * person.height) * view.zoom
        # Slightly above the middle: a face's box has more forehead than neck.
        middle_2 = np.array([0.5 + view.shift[0], 0.56 + view.shift[1]], np.float32) * np.float32(points)
        seen_V3 = raster.project(posed_V3, target_3, np.float32(view.distance), np.float32(scale), middle_2)
        share_T = np.where(self._is_lash_T, self._lash_T * np.float32(person.traits.lashes), np.float32(1))
        if face.gap_cm < _SHOWS_TEETH_CM:
            share_T[self._is_inside_T] = 0  # teeth are no soft tissue: they would poke through drawn lips
        triangle_HW, weights_HW2 = raster.rasterise(seen_V3, head.triangles, share_T, self._comb_V, points)
        fields_VF = vertex_fields(head).copy()
        fields_VF[:, _HAIR] = person.hair
        scene = Scene(
            triangles=head.triangles,
            kinds=self._kinds_T,
            vertices=posed_V3,
            normals=mesh.normals(posed_V3, head.triangles),
            fields=fields_VF,
            grooves=grooves(face.intensity, person.traits.wrinkles),
            camera=target_3 + np.array([0, 0, view.distance], np.float32),
        )
        light, light_HW3 = draw_light(noise, self._light, self._background), np.empty((points, points, 3), np.float32)
        shade(triangle_HW, weights_HW2, scene, _look(person.traits), light, noise_tile(), light_HW3)
        develop(light_HW3, self._factor, self._grain_of(noise), out_HW3)
        return face

    def _grain_of(self, noise: int) -> Floats | None:
        if self._grain == 0:
            return None
        shape = (self.image_size, self.image_size, 3)
        return stream("sensor", noise).standard_normal(shape, dtype=np.float32) * np.float32(self._grain)


def _look(traits: Traits) -> Look:
    return Look(*(_singles(getattr(traits, name)) for name in Look._fields))


def _singles(value: float | tuple[float, ...]) -> Any:
    return tuple(np.float32(v) for v in value) if isinstance(value, tuple) else np.float32(value)


def _within(name: str, value: object, least: float, most: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not least <= value <= most:
        raise ConfigurationError(f"{name}={value!r}", expected=f"{least:g} to {most:g}")
    return float(value)


def _whole(name: str, value: object, least: int, most: int) -> int:
    number = _within(name, value, least, most)
    if number != int(number):
        raise ConfigurationError(f"{name}={value!r}", expected="a whole number")
    return int(number)


def _span(name: str, value: object, least: float, most: float) -> tuple[float, float]:
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise ConfigurationError(f"{name}={value!r}", expected=f"(least, most) within {least:g}-{most:g}")
    low, high = (_within(name, number, least, most) for number in value)
    if low > high:
        raise ConfigurationError(f"{name}={value!r}", expected="the smaller number first")
    return low, high
