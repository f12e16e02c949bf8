"""From a person and AU intensities to the vertices of that face: everything about geometry, nothing about looks."""

from __future__ import annotations

import functools
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

import numpy as np

from ausynth.generators.rendered import mesh
from ausynth.generators.rendered.actions import AUS, SIDED, Actions
from ausynth.generators.rendered.complexion import Paint, Whiskers, skin_colour
from ausynth.generators.rendered.draws import stream
from ausynth.generators.rendered.eyes import Eyes
from ausynth.generators.rendered.hair import scalp
from ausynth.generators.rendered.head import load_head
from ausynth.generators.rendered.identity import Person, Traits, Variety, draw_traits, shape_weights
from ausynth.generators.rendered.jaw import Jaw
from ausynth.generators.rendered.lips import SEALED_CM, Lips, gap_of_intensity
from ausynth.generators.rendered.paint import FIELDS, person_fields
from ausynth.generators.rendered.shell import grow
from ausynth.labels import Floats

__all__ = ["Face", "Shaper"]

_COLUMN: Final = {au: a for a, au in enumerate(AUS)}
# The base head's teeth and tongue fill the mouth to the lips' corners, and come through them when these are drawn.
# Material -> (factor of width, factor of depth, side that faces the gap, its height over the lips' line, cm behind it).
_FITTED: Final = {
    "teeth_upper": (0.88, 0.95, -1, -0.35, 0.45),
    "teeth_lower": (0.80, 0.90, 1, -0.55, 0.65),
    "tongue": (0.80, 0.90, 1, -0.75, 1.6),
}
_KEPT: Final = 96  # people, 0.4 MB each


@dataclass(frozen=True, eq=False)
class Face:
    """One face as the mesh shows it, before it is turned.

    Attributes:
        vertices: (V, 3) float32 centimetres.
        intensity: (A,) 0-5, what was made of what was asked: AU24 is given up where AU25 is asked too.
        gap_cm: how far the lips are apart, see `lips`.
        jaw_cm: how far the jaw has dropped, see `jaw`.
    """

    vertices: Floats
    intensity: Floats
    gap_cm: float
    jaw_cm: float


class Shaper:
    """Makes the faces of people. Thread-safe.

    Args:
        asymmetry: how much the two sides of a face may differ in strength: the standard deviation, 0-0.3.
        variety: how much people differ.
    """

    def __init__(self, asymmetry: float = 0.0, variety: Variety = Variety()) -> None:  # noqa: B008 (frozen)
        self.head = load_head()
        self._actions, self._lips, self._eyes = Actions(self.head), Lips.of(self.head), Eyes.of(self.head)
        self._jaw = Jaw.of(self.head)
        self._asymmetry, self._variety = asymmetry, variety
        self._people: OrderedDict[int, Person] = OrderedDict()
        self._lock = threading.Lock()

    def person(self, identity: int) -> Person:
        """Return the person of an identity number."""
        with self._lock:
            person = self._people.get(identity)
            if person is not None:
                self._people.move_to_end(identity)
                return person
        person = self._make(identity)
        with self._lock:
            self._people[identity] = person
            while len(self._people) > _KEPT:
                self._people.popitem(last=False)
        return person

    def face(self, person: Person, intensity_A: Floats, gaze_33: Floats | None = None) -> Face:
        """Return a person's face at AU intensities 0-5 over `AUS`; `gaze_33` turns the eyeballs."""
        made_A = intensity_A.astype(np.float32)
        if made_A[_COLUMN[25]] > 0:
            made_A[_COLUMN[24]] = 0  # pressed lips are not parted: the coding manual lists 24 and 25 as alternatives
        weights_S = self._actions.weights(made_A, person.asymmetry)
        vertices_V3, gap = person.neutral.copy(), person.gap_cm
        if weights_S.any():
            gap = self._move(vertices_V3, weights_S, made_A)
        if gaze_33 is not None:
            self._eyes.turn(vertices_V3, gaze_33)
        return Face(vertices_V3, made_A, gap, self._jaw.dropped(vertices_V3) - self._jaw.dropped(person.neutral))

    def _move(self, vertices_V3: Floats, weights_S: Floats, made_A: Floats) -> float:
        """Move a neutral face in place, settle its lips and lids, and return the gap between the lips."""
        parted, dropped, pressed = (made_A[_COLUMN[au]] for au in (25, 26, 24))
        is_sealed = parted == 0 and (dropped == 0 or pressed > 0)
        if is_sealed:
            # The jaw may drop behind pressed lips; mouthClose is made to undo just what jawOpen does to the lips.
            weights_S[self.head.shapes["mouthClose"]] = weights_S[self.head.shapes["jawOpen"]]
        self._add(vertices_V3, weights_S)
        least = SEALED_CM if is_sealed else gap_of_intensity(float(parted))
        most = least if dropped == 0 or is_sealed else np.inf
        gap = self._lips.settle(vertices_V3, least, most)
        self._eyes.settle(vertices_V3)
        return gap

    def _add(self, vertices_V3: Floats, weights_S: Floats) -> None:
        mesh.add_shapes(vertices_V3, weights_S, self.head.starts, self.head.rows, self.head.deltas)

    def _make(self, identity: int) -> Person:
        head, traits = self.head, draw_traits(identity, self._variety)
        vertices_V3 = head.vertices.copy()
        self._add(vertices_V3, shape_weights(head, traits, identity, self._variety))
        # People differ in height: bring the eyes to where the base head has them.
        vertices_V3 += self._eyes.middles(head.vertices).mean(0) - self._eyes.middles(vertices_V3).mean(0)
        gap = self._lips.settle(vertices_V3, SEALED_CM, SEALED_CM)
        self._fit_mouth(vertices_V3)
        self._eyes.settle(vertices_V3)
        chin = vertices_V3[self._chin].copy()
        eyes = self._eyes.middles(vertices_V3).mean(0)
        fields_VF = person_fields(head, _paint(traits), scalp(head, traits.hairdo, traits.bald))
        shell = grow(head, vertices_V3, traits.hairdo, traits.texture[0])
        if traits.beard_cm > 0:
            stands_V1 = (traits.beard_cm * fields_VF[:, FIELDS.index("beard")])[:, None]
            vertices_V3 += mesh.normals(vertices_V3, head.triangles) * stands_V1.astype(np.float32)
        for array in (vertices_V3, fields_VF):
            array.flags.writeable = False
        asymmetry_A = np.clip(stream("asymmetry", identity).standard_normal(len(AUS)) * self._asymmetry, -0.6, 0.6)
        asymmetry_A[~SIDED] = 0
        return Person(
            traits=traits,
            neutral=vertices_V3,
            gap_cm=gap,
            asymmetry=asymmetry_A.astype(np.float32),
            shell=shell,
            fields=fields_VF,
            face=((eyes + chin) / 2).astype(np.float32),
            height=float(eyes[1] - chin[1]),
        )

    def _fit_mouth(self, vertices_V3: Floats) -> None:
        """Put teeth and tongue where a person's lips are, in place."""
        rims = [columns[len(columns) // 2, 0] for columns in (self.head.lip_upper, self.head.lip_lower)]
        _, line_y, line_z = vertices_V3[rims].mean(0)
        for material, (width, depth, side, above, behind) in _FITTED.items():
            part = self.head.vertices_of(material)
            x_N, y_N, z_N = vertices_V3[part].T
            # Molars reach beyond the incisors' edge: they would be fangs beside the tongue when the jaw drops.
            edge = (side * y_N[z_N > z_N.max() - 0.8]).max()
            level_N = side * np.minimum(side * y_N, edge)
            vertices_V3[part, 0] = x_N * width
            vertices_V3[part, 1] = level_N - side * edge + line_y + above
            vertices_V3[part, 2] = (z_N - z_N.max()) * depth + line_z - behind

    @functools.cached_property
    def _chin(self) -> int:
        """The vertex of the chin's lower edge, in the middle of the face."""
        middle_V = (np.abs(self.head.vertices[:, 0]) < 0.01) & (self.head.vertices[:, 2] > 13)
        return int(np.argmin(np.where(middle_V & (self.head.vertices[:, 1] > 61.5), self.head.vertices[:, 1], np.inf)))


def _paint(traits: Traits) -> Paint:
    dark = 1 - min(1.0, sum(traits.beard) / 0.5)
    single = np.float32
    red, green, blue = skin_colour(traits.melanin)
    return Paint(
        base=(single(red), single(green), single(blue)),
        melanin=single(traits.melanin),
        blood=single(traits.blood),
        lips=single(traits.lips),
        mottling=single(traits.mottling),
        shine=single(traits.shine),
        tired=single(traits.tired),
        whiskers=Whiskers(*(single(value) for value in traits.whiskers)),
        dark_hair=single(dark),
        texture=(single(traits.texture[0]), single(traits.texture[1])),
    )
