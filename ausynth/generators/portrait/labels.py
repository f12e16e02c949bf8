"""The labels of what the mesh shows, which need not be what was asked; what a view hides is unknown."""

from __future__ import annotations

from typing import Final

import numpy as np

from ausynth.generators.portrait.draw import Artist
from ausynth.generators.portrait.kernels import Integers, kernel
from ausynth.generators.portrait.lips import inside_lips
from ausynth.generators.portrait.shape import Face, Shaper
from ausynth.generators.portrait.sitter import Sitter
from ausynth.generators.portrait.table import AUS, load_table
from ausynth.generators.rendered.camera import View
from ausynth.generators.rendered.lips import intensity_of_gap
from ausynth.generators.rendered.mesh import normals
from ausynth.labels import Floats

__all__ = ["CLOSED_EYES_HIDE", "FACING", "LEAST_DROP", "LEAST_SEEN", "STEP", "Labeller", "intensity_of_drop"]

_COLUMN: Final = {au: a for a, au in enumerate(AUS)}
STEP: Final = 0.05  # of intensity: what the measurement resolves; keeps "2" from becoming 1.9999 at a threshold of 2
LEAST_DROP: Final = 0.02  # of AU26 at 5: less is no jaw drop
LEAST_SEEN: Final = 0.4  # of the disc that is seen best, on either side of the face
FACING: Final = 0.08
_FACING_AT_REST: Final = 0.2
CLOSED_EYES_HIDE: Final = (7,)


def intensity_of_drop(drop_cm: float, full_cm: float) -> float:
    """Return AU26's intensity (0-5, in steps of .05) of a jaw `drop_cm` below its place; `full_cm` is that of 5."""
    share = drop_cm / full_cm if full_cm > 0 else 0.0
    if share < LEAST_DROP:
        return 0.0
    gain_6 = load_table().gain
    return float(np.round(np.interp(share, gain_6, np.arange(6)) / STEP) * STEP)


class Labeller:
    """Says what a face shows in a view.

    Attributes:
        members: vertices of all discs of `actions.toml`, disc after disc.
        starts: where each disc begins among them, and the end.
        owners: column of each disc's AU.
    """

    def __init__(self, shaper: Shaper, artist: Artist) -> None:
        self._artist, self._full_drop = artist, shaper.full_drop_cm
        topology = shaper.topology
        self._outer = np.ascontiguousarray(topology.triangles[: topology.outer])
        rest_N3 = topology.rest[: topology.skin]
        # What is turned in at rest (the lips' inside, the nostrils) says nothing about the view.
        turned_N = normals(topology.rest, self._outer)[: topology.skin, 2] > _FACING_AT_REST
        turned_N[inside_lips(topology)] = False
        turned_N &= rest_N3[:, 2] > 4
        table = load_table()
        discs: list[Integers] = []
        owners = []
        for a, au in enumerate(AUS):
            for side in (1, -1):
                for x, y, radius in table.regions[au]:
                    near_N = np.hypot(side * rest_N3[:, 0] - x, rest_N3[:, 1] - y) < radius
                    discs.append(np.flatnonzero(near_N & turned_N).astype(np.int32))
                    owners.append(a)
        self.members = np.concatenate(discs).astype(np.int32)
        self.starts = np.concatenate([[0], np.cumsum([len(disc) for disc in discs])]).astype(np.int32)
        self.owners = np.array(owners)

    def row(self, sitter: Sitter, face: Face, view: View) -> Floats:
        """Return (A,) intensities 0-5 over `AUS`: AU25 and AU26 as measured, NaN where the view hides the AU."""
        row_A = face.intensity.copy()
        row_A[_COLUMN[25]] = intensity_of_gap(face.gap_cm)
        row_A[_COLUMN[26]] = intensity_of_drop(face.drop_cm, self._full_drop)
        _, seen_V3, _, _ = self._artist.pose(sitter, face, view, 1)
        seen_R = np.empty(len(self.starts) - 1, np.float32)
        _share_seen(seen_V3, self._outer, self.members, self.starts, np.float32(FACING), seen_R)
        best_A = np.zeros(len(AUS), np.float32)
        np.maximum.at(best_A, self.owners, seen_R)
        row_A[best_A < LEAST_SEEN] = np.nan
        if face.blink > 0.5:
            row_A[[_COLUMN[au] for au in CLOSED_EYES_HIDE]] = np.nan
        return row_A


@kernel
def _share_seen(  # noqa: PLR0917
    seen_V3: Floats, triangles_T3: Integers, members_M: Integers, starts_R: Integers, facing: np.float32, seen_R: Floats
) -> None:
    """Write the share of each disc's vertices that lie inside the picture and on a surface turned to the viewer.

    A vertex is turned to the viewer where the triangles around it cover, as seen, an area with its front: their signed
    area, weighed against the unsigned one.
    """
    front_V = np.zeros(len(seen_V3), np.float32)
    both_V = np.zeros(len(seen_V3), np.float32)
    for t in range(len(triangles_T3)):
        a, b, c = triangles_T3[t, 0], triangles_T3[t, 1], triangles_T3[t, 2]
        area = (seen_V3[c, 0] - seen_V3[a, 0]) * (seen_V3[b, 1] - seen_V3[a, 1]) - (seen_V3[b, 0] - seen_V3[a, 0]) * (
            seen_V3[c, 1] - seen_V3[a, 1]
        )
        for i in (a, b, c):
            front_V[i] += area
            both_V[i] += abs(area)
    for r in range(len(starts_R) - 1):
        count = np.float32(0)
        for m in range(starts_R[r], starts_R[r + 1]):
            i = members_M[m]
            inside = 0 <= seen_V3[i, 0] <= 1 and 0 <= seen_V3[i, 1] <= 1
            if inside and front_V[i] > facing * both_V[i]:
                count += 1
        total = starts_R[r + 1] - starts_R[r]
        seen_R[r] = count / np.float32(total) if total > 0 else np.float32(0)
