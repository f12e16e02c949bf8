"""Where the lips of the head are, and how far around them a correction of their gap reaches."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from ausynth.generators.portrait.topology import Topology
from ausynth.generators.rendered.lips import Lips
from ausynth.labels import Floats

__all__ = ["inside_lips", "lips_of"]

_REACH_CM: Final = (0.5, 2.3)  # a correction is whole within the first, nothing beyond the second


def lips_of(topology: Topology) -> Lips:
    """Return the lips of a head, which `Lips.settle` brings to a gap, and `Lips.gap` measures."""
    rest_N3 = topology.rest[: topology.skin]
    rims = [np.unique(columns) for columns in (topology.lips_upper, topology.lips_lower)]
    corners = np.intersect1d(rims[0], rims[1])
    upper_N, lower_N = (_distance(rest_N3, topology.rest[np.setdiff1d(rim, corners)]) for rim in rims)
    slit_K3 = topology.rest[
        np.concatenate([columns[np.arange(len(columns)), rows] for columns, rows in _meeting(topology)])
    ]
    near, far = _REACH_CM
    fade_N = np.clip((far - _distance(rest_N3, slit_K3)) / (far - near), 0, 1)
    fade_N = fade_N * fade_N * (3 - 2 * fade_N)
    moved = np.flatnonzero(fade_N > 0).astype(np.int32)
    # The lips' own rows go with their lip; around the mouth whichever lip is nearer decides, softly at the corners.
    share_N = np.clip(0.5 + (lower_N - upper_N) / 0.3, 0, 1)
    share_N[np.setdiff1d(rims[0], corners)], share_N[np.setdiff1d(rims[1], corners)] = 1, 0
    share_N[corners] = 0.5
    upper_M = (fade_N * share_N)[moved].astype(np.float32)
    lower_M = (fade_N * (1 - share_N))[moved].astype(np.float32)
    return Lips(topology.lips_upper, topology.lips_lower, moved, upper_M, lower_M)


def inside_lips(topology: Topology) -> NDArray[np.int32]:
    """Return the vertices of the lips that closed lips hide: each column's inner end, up to where the lips meet."""
    hidden = [columns[k, :row] for columns, rows in _meeting(topology) for k, row in enumerate(rows)]
    return np.unique(np.concatenate(hidden))


def _meeting(topology: Topology) -> tuple[tuple[NDArray[np.int32], NDArray[np.int64]], ...]:
    """Return for the upper and the lower lip its columns, and of each the row that is nearest to the other lip."""
    upper, lower = topology.lips_upper, topology.lips_lower
    return (upper, topology.rest[upper, 1].argmin(1)), (lower, topology.rest[lower, 1].argmax(1))


def _distance(points_N3: Floats, others_K3: Floats) -> Floats:
    from scipy.spatial import cKDTree

    return np.asarray(cKDTree(others_K3).query(points_N3)[0], np.float32)
