"""The lips: how far they are apart, and bringing them to where they should be.

The facial actions of AU 9 and 10 part the lips, and AU 17 pushes one through the other, each by half a centimetre and
more. A face whose label says "lips closed" must not show an open mouth, so the gap is measured and corrected.

The gap is what a viewer in front can look through: at 31 places between the corners, the height of the lowest point of
the upper lip less that of the highest point of the lower lip, in the frame of the unposed head, in centimetres.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ausynth.generators.rendered.actions import gain
from ausynth.generators.rendered.head import Head
from ausynth.generators.rendered.kernels import Integers, Real, kernel
from ausynth.labels import Floats

__all__ = ["OPEN_CM", "SEALED_CM", "Lips", "gap_of_intensity", "intensity_of_gap"]


OPEN_CM: Final = 0.7
"""The gap of AU25 at 5; below, the gap grows as the face's movement does (`actions.gain`)."""

SEEN_CM: Final = 0.05
"""A smaller gap is no AU25: it is a third of a pixel of a face 112 pixels high."""

SEALED_CM: Final = -0.02
"""Closed lips overlap by this much, so that nothing shines through between them."""

_STEP: Final = 0.05  # of intensity: what the measurement resolves; keeps "2" from becoming 1.9999 at a threshold of 2

_PLACES: Final = np.linspace(-0.94, 0.94, 31, dtype=np.float32)
_LETTERS: Final = np.arange(6, dtype=np.float32)


def gap_of_intensity(intensity: float) -> float:
    """Return the gap between the lips, in centimetres, of AU25 at 0-5: 0, .08, .21, .39, .56, .7."""
    return float(gain(np.float32(intensity))) * OPEN_CM  # type: ignore[arg-type]


def intensity_of_gap(gap_cm: float) -> float:
    """Return AU25's intensity (0-5, in steps of .05) of lips `gap_cm` apart; 0 below `SEEN_CM`."""
    if gap_cm < SEEN_CM:
        return 0.0
    intensity = np.interp(gap_cm, gain(_LETTERS) * OPEN_CM, _LETTERS)
    return float(np.round(intensity / _STEP) * _STEP)


@dataclass(frozen=True, eq=False)
class Lips:
    """Where the lips of a head are, and how far around them a correction reaches.

    Attributes:
        upper: (K, R) vertices of the upper lip.
        lower: (L, R) vertices of the lower lip.
        moved: (M,) vertices that a correction moves.
        upper_share: (M,) 0-1, how far each goes with the upper lip.
        lower_share: (M,) 0-1, how far each goes with the lower lip.
    """

    upper: Integers
    lower: Integers
    moved: Integers
    upper_share: Floats
    lower_share: Floats

    @classmethod
    def of(cls, head: Head) -> Lips:
        """Return the lips of a head."""
        steps_V = {side: _steps_along_mesh(head, columns) for side, columns in _sides(head).items()}
        distance_V = _distance_from_slit(head)
        fade_V = np.clip((2.4 - distance_V) / 1.8, 0, 1)
        fade_V = (fade_V * fade_V * (3 - 2 * fade_V)).astype(np.float32)
        fade_V[~np.isin(np.arange(len(fade_V)), head.vertices_of("skin"))] = 0
        moved = np.flatnonzero(fade_V).astype(np.int32)
        # Each vertex goes with the lip that is nearer along the mesh (over the slit it would be near to both).
        is_upper_V = steps_V["upper"] < steps_V["lower"]
        is_tied_V = steps_V["upper"] == steps_V["lower"]
        upper_V = np.where(is_tied_V, 0.5, is_upper_V).astype(np.float32)
        return cls(head.lip_upper, head.lip_lower, moved, (fade_V * upper_V)[moved], (fade_V * (1 - upper_V))[moved])

    def gap(self, vertices_V3: Floats) -> float:
        """Return the widest gap between the lips in centimetres; negative where they overlap everywhere."""
        _, gaps_P = _measure(vertices_V3, self.upper, self.lower, _PLACES)
        return float(gaps_P.max())

    def settle(self, vertices_V3: Floats, least_cm: Real, most_cm: float) -> float:
        """Move the lips, in place, until the widest gap is within the limits and they nowhere overlap by more.

        Args:
            vertices_V3: (V, 3) centimetres, unposed.
            least_cm: the widest gap is at least this.
            most_cm: and at most this.

        Returns:
            the widest gap there is now, in centimetres.
        """
        arrays = (self.upper, self.lower, self.moved, self.upper_share, self.lower_share, _PLACES)
        return float(_settle(vertices_V3, np.float32(least_cm), np.float32(most_cm), np.float32(SEALED_CM), *arrays))


def _sides(head: Head) -> dict[str, Integers]:
    return {"upper": head.lip_upper, "lower": head.lip_lower}


def _steps_along_mesh(head: Head, columns_KR: Integers) -> NDArray[np.int64]:
    """Return (V,) how many edges each vertex is away from a lip, up to 12."""
    edges_E2 = np.concatenate([head.triangles[:, (i, (i + 1) % 3)] for i in range(3)])
    steps_V = np.full(len(head.vertices), 99)
    steps_V[np.unique(columns_KR)] = 0
    for step in range(1, 13):
        reached = edges_E2[steps_V[edges_E2[:, 0]] == step - 1, 1]
        steps_V[reached] = np.minimum(steps_V[reached], step)
    return steps_V


def _distance_from_slit(head: Head) -> Floats:
    """Return (V,) the distance, in centimetres seen from the front, of each vertex from the line between the lips."""
    slit_K3 = head.vertices[head.lip_upper[:, 0]]
    offsets_VK2 = head.vertices[:, None, :2] - slit_K3[None, :, :2]
    distance_V = np.sqrt((offsets_VK2**2).sum(-1)).min(1)
    distance_V[head.vertices[:, 2] < 11] = 99  # the throat lies behind the lips, not beside them
    return np.asarray(distance_V, np.float32)


@kernel
def _edge(vertices_V3: Floats, columns_KR: Integers, x_P: Floats, sign: Real, edge_P: Floats) -> None:
    """Write the lowest (sign 1) or highest (sign -1) heights at `x_P` of the lines that run from corner to corner."""
    edge_P[:] = sign * np.float32(1e9)
    for r in range(columns_KR.shape[1]):
        for k in range(columns_KR.shape[0] - 1):
            a, b = columns_KR[k, r], columns_KR[k + 1, r]
            xa, xb = vertices_V3[a, 0], vertices_V3[b, 0]
            if xa == xb:
                continue
            for p in range(len(x_P)):
                share = (x_P[p] - xa) / (xb - xa)
                if 0 <= share <= 1:
                    height = vertices_V3[a, 1] + share * (vertices_V3[b, 1] - vertices_V3[a, 1])
                    if sign * height < sign * edge_P[p]:
                        edge_P[p] = height


@kernel
def _measure(vertices_V3: Floats, upper_KR: Integers, lower_LR: Integers, places_P: Floats) -> tuple[Floats, Floats]:
    """Return (P,) places between the corners and (P,) gaps there."""
    # Between the inner ends of both lips' lines, so that each line has a height at each place.
    right, left = np.float32(-1e9), np.float32(1e9)
    for r in range(upper_KR.shape[1]):
        right = max(right, vertices_V3[upper_KR[0, r], 0], vertices_V3[lower_LR[0, r], 0])
        left = min(left, vertices_V3[upper_KR[-1, r], 0], vertices_V3[lower_LR[-1, r], 0])
    x_P = right + (left - right) * (places_P + np.float32(1)) / np.float32(2)
    upper_P, lower_P = np.empty_like(x_P), np.empty_like(x_P)
    _edge(vertices_V3, upper_KR, x_P, np.float32(1), upper_P)
    _edge(vertices_V3, lower_LR, x_P, np.float32(-1), lower_P)
    return x_P, upper_P - lower_P


@kernel
def _settle(  # noqa: PLR0917 (numba takes no keywords)
    vertices_V3: Floats,
    least: Real,
    most: Real,
    overlap: Real,
    upper_KR: Integers,
    lower_LR: Integers,
    moved_M: Integers,
    upper_share_M: Floats,
    lower_share_M: Floats,
    places_P: Floats,
) -> Real:
    change_P = np.empty_like(places_P)
    x_P, gaps_P = _measure(vertices_V3, upper_KR, lower_LR, places_P)
    for _ in range(20):
        widest = gaps_P.max()
        goal = min(max(widest, least), most)
        worst = np.float32(0)
        for p in range(len(places_P)):
            wanted = gaps_P[p]
            if widest > goal:
                # Narrower everywhere in proportion, and the overlap where nothing may stay open.
                wanted = min(wanted, overlap + (wanted - overlap) * (goal - overlap) / (widest - overlap))
            elif widest < goal:
                wanted += (goal - widest) * (1 - places_P[p] * places_P[p])
            wanted = max(wanted, overlap)
            change_P[p] = wanted - gaps_P[p]
            worst = max(worst, abs(change_P[p]))
        if worst < 2e-3:
            break
        first, last = x_P[0], len(x_P) - 1
        step = (x_P[last] - first) / np.float32(last)
        for m in range(len(moved_M)):
            i = moved_M[m]
            # The places are evenly spaced: no search.
            place = min(max((vertices_V3[i, 0] - first) / step, np.float32(0)), np.float32(last))
            low = min(int(place), last - 1)
            change = change_P[low] + (place - np.float32(low)) * (change_P[low + 1] - change_P[low])
            edge = x_P[0] if vertices_V3[i, 0] < x_P[0] else x_P[-1]
            beyond = abs(vertices_V3[i, 0] - edge) if vertices_V3[i, 0] < x_P[0] or vertices_V3[i, 0] > x_P[-1] else 0.0
            change *= max(0.0, 1 - beyond / 1.2)
            # Closing: the lower lip follows a raised upper lip. Overlapping: the lower lip pushes the upper one up.
            upper = 0.35 if change < 0 else 0.6
            vertices_V3[i, 1] += change * (upper * upper_share_M[m] - (1 - upper) * lower_share_M[m])
        x_P, gaps_P = _measure(vertices_V3, upper_KR, lower_LR, places_P)
    widest_now: Real = gaps_P.max()
    return widest_now
