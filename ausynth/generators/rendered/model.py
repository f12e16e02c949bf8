"""The head and the hair as one mesh: which triangles there are, what of, and what is known of their vertices."""

from __future__ import annotations

from typing import Final
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from ausynth.generators.rendered import raster, shell
from ausynth.generators.rendered import shade as shading
from ausynth.generators.rendered.head import Head
from ausynth.generators.rendered.identity import Person
from ausynth.generators.rendered.kernels import Integers
from ausynth.generators.rendered.maps import face_triangles
from ausynth.generators.rendered.paint import FIELDS
from ausynth.labels import Floats

__all__ = ["Model"]

_KINDS: Final = {
    "skin": shading.SKIN,
    "eye_left": shading.EYE,
    "eye_right": shading.EYE,
    "teeth_upper": shading.TEETH,
    "teeth_lower": shading.TEETH,
    "tongue": shading.TONGUE,
    "lashes": shading.LASHES,
}
_LASH_CM: Final = 0.08  # from one lash to the next
_BEHIND_EARS: Final = 80.0  # hair that hangs from further in front than this, in degrees, covers the ears
_THICK_CM: Final = 1.2
_COVERED_CM: Final = 1.6  # so far inside the hair's edge the scalp is not seen
_ACROSS: Final = np.float32(0.045)  # tiles of noise a centimetre across the hairs


class Model:
    """The joined mesh; vertices of the head first, then those of the hair.

    Attributes:
        triangles: (T, 3).
        kinds: (T,) uint8, see `shade`.
    """

    def __init__(self, head: Head) -> None:
        count = len(head.vertices)
        self._count, self._corners = count, head.triangles
        self._known: WeakKeyDictionary[Person, tuple[NDArray[np.uint8], NDArray[np.uint8]]] = WeakKeyDictionary()
        self.triangles: Integers = np.concatenate([head.triangles, shell.triangles() + np.int32(count)])
        of_head = np.array([_KINDS[name] for name in head.material_names], np.uint8)[head.materials]
        self.kinds: NDArray[np.uint8] = np.concatenate(
            [of_head, np.full(len(shell.triangles()), shading.HAIR, np.uint8)]
        )
        self._rules_T = np.full(len(self.triangles), raster.SOLID, np.uint8)
        self._rules_T[self.kinds == shading.LASHES] = raster.LASH
        self._is_inside_T = np.isin(self.kinds, (shading.TEETH, shading.TONGUE))
        self._face_T = face_triangles(head)
        is_throat_V = head.masks["inside-mouth"] > 0.95
        self._is_inside_T[: len(head.triangles)] |= is_throat_V[head.triangles].all(1)
        self._is_ear_T = np.zeros(len(self.triangles), bool)
        self._is_ear_T[: len(head.triangles)] = (head.masks["ears"] > 0.4)[head.triangles].all(1)
        is_lower_V = head.vertices[:, 1] < head.vertices[head.vertices_of("eye_left"), 1].mean()
        self._cut_V3 = np.zeros((count + shell.vertex_count(), 3), np.float32)
        self._cut_V3[:count, 0] = head.vertices[:, 0] / _LASH_CM
        self._lash_V = np.where(is_lower_V, 0.04, 0.42).astype(np.float32)

    def rules(self, person: Person, *, shows_mouth: bool) -> NDArray[np.uint8]:
        """Return (T,) how each triangle is drawn: hair that is not there, and what closed lips hide, is left out."""
        known = self._known.get(person)
        if known is None:
            known = self._known[person] = self._rules_of(person)
        return known[int(shows_mouth)]

    def _rules_of(self, person: Person) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Return the rules with closed and with parted lips."""
        rules_T, hairdo = self._rules_T.copy(), person.traits.hairdo
        # Behind the edge of thick hair its inner side is seen; thin hair has none.
        lies_close = hairdo.length == 0 and max(hairdo.top, hairdo.sides) < _THICK_CM
        hair_T = rules_T[-len(person.shell.used) :]
        hair_T[:] = np.where(person.shell.used, raster.FUR if lies_close else raster.STRANDS, raster.HIDDEN)
        if hairdo.is_grown:
            # Nobody sees the scalp below thick hair.
            inside_V = person.fields[:, FIELDS.index("hair")] > _COVERED_CM
            is_scalp_T = (self.kinds[: len(self._corners)] == shading.SKIN) & inside_V[self._corners].all(1)
            rules_T[: len(self._corners)][is_scalp_T] = raster.HIDDEN
        if hairdo.length > 0 and hairdo.opens < _BEHIND_EARS:
            rules_T[self._is_ear_T] = raster.HIDDEN
        closed_T = rules_T.copy()
        closed_T[self._is_inside_T] = raster.HIDDEN  # teeth are no soft tissue: they would poke through drawn lips
        return closed_T, rules_T

    def face(self, person: Person) -> NDArray[np.bool_]:
        """Return (T,) which triangles show the face: those of the head's face that no hair grows on."""
        face_T = np.zeros(len(self.triangles), bool)
        haired_V = person.fields[:, FIELDS.index("hair")] > 0
        skin_T = self.kinds[: len(self._corners)] == shading.SKIN
        face_T[: len(self._corners)] = self._face_T & ~(skin_T & haired_V[self._corners].any(1))
        return face_T

    def cuts(self, person: Person, normals_V3: Floats) -> Floats:
        """Return (V, 3) what `raster.fill` needs to know of lashes and hairs."""
        cut_V3 = self._cut_V3.copy()
        cut_V3[: self._count, 1] = self._lash_V * np.float32(person.traits.lashes)
        hair_N3 = cut_V3[self._count :]
        hair_N3[:, 0] = person.shell.across * _ACROSS
        hair_N3[:, 1] = person.shell.tip / np.float32(max(person.traits.hairdo.wisp, 0.05))
        # Short hair is fuzzy where it is seen from the side; hair that hangs shows its other sheet there.
        is_short = person.traits.hairdo.length == 0
        hair_N3[:, 2] = np.abs(normals_V3[self._count :, 2]) if is_short else 1
        return cut_V3

    def fields(self, person: Person, turn_33: Floats) -> Floats:
        """Return (V, F) what the shading knows of each vertex; of hair: across, along, direction (3), open, tip."""
        hair_NF = np.zeros((len(person.shell.vertices), len(FIELDS)), np.float32)
        hair_NF[:, 0], hair_NF[:, 1] = person.shell.across, person.shell.along
        hair_NF[:, 2:5] = person.shell.direction @ turn_33.T
        hair_NF[:, 5], hair_NF[:, 6] = person.shell.open, person.shell.tip
        return np.concatenate([person.fields, hair_NF])
