"""Lines that come with the AUs: geometry alone makes AU 4, 9 and 17 hard to see, on real faces the folds show them.

Each channel of `actions.toml` is a map of grooves over the front of the mean head; an AU deepens its channels.
"""

from __future__ import annotations

import functools
import itertools
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ausynth.generators.portrait.kernels import kernel
from ausynth.generators.portrait.table import AUS, Line, load_table
from ausynth.labels import Floats

__all__ = [
    "COLUMNS",
    "DEEPEST",
    "LEFT_EDGE",
    "POINTS_PER_CM",
    "ROWS",
    "UPPER_EDGE",
    "channels",
    "depths",
    "groove_maps",
    "grooves",
]

POINTS_PER_CM: Final = 12
LEFT_EDGE, UPPER_EDGE = -7.5, 11.0
ROWS: Final = 18 * POINTS_PER_CM + 1
COLUMNS: Final = 15 * POINTS_PER_CM + 1
DEEPEST: Final = 1.6


def channels() -> tuple[str, ...]:
    """Return the names of the channels, in the order of `groove_maps`."""
    return tuple(load_table().lines)


def depths(intensity_A: Floats, strength: float) -> Floats:
    """Return (C,) how deep each channel's lines are, 0-1.6.

    Args:
        intensity_A: (A,) 0-5 over `table.AUS`.
        strength: of this person's lines: 0.5 a child's, 1 an adult's, 1.5 an old person's.
    """
    table, names = load_table(), channels()
    depth_C = np.zeros(len(names), np.float32)
    for au, share in zip(AUS, table.moved(intensity_A), strict=True):
        for channel, depth in table.wrinkles.get(au, {}).items():
            depth_C[names.index(channel)] += np.float32(depth * strength) * share
    return np.minimum(depth_C, np.float32(DEEPEST))


def grooves(intensity_A: Floats, strength: float) -> Floats:
    """Return the (ROWS, COLUMNS) map of a face's grooves: the maps of the channels, as deep as they are."""
    depth_C, total_HW = depths(intensity_A, strength), np.zeros((ROWS, COLUMNS), np.float32)
    for c in np.flatnonzero(depth_C):
        _add(total_HW, groove_maps()[c], depth_C[c])
    return total_HW


@kernel
def _add(total_HW: Floats, map_HW: Floats, depth: np.float32) -> None:
    for row in range(total_HW.shape[0]):
        for column in range(total_HW.shape[1]):
            total_HW[row, column] += depth * map_HW[row, column]


@functools.cache
def groove_maps() -> Floats:
    """Return (C, ROWS, COLUMNS) float32 maps of the grooves, -1 to 1, from the upper right of the person's face on."""
    maps = np.stack([_channel(lines) for lines in load_table().lines.values()]).astype(np.float32)
    maps.flags.writeable = False
    return maps


def _channel(lines: tuple[Line, ...]) -> NDArray[np.float64]:
    y, x = np.mgrid[:ROWS, :COLUMNS] / POINTS_PER_CM
    x, y = np.abs(x + LEFT_EDGE), UPPER_EDGE - y
    total = np.zeros((ROWS, COLUMNS))
    for line in lines:
        groove = np.zeros_like(total)
        points = np.array(line.points)
        steps = np.hypot(*np.diff(points, axis=0).T)
        reached = np.concatenate([[0], np.cumsum(steps)]) / steps.sum()
        for segment, ((xa, ya), (xb, yb)) in enumerate(itertools.pairwise(points)):
            along = np.clip(((x - xa) * (xb - xa) + (y - ya) * (yb - ya)) / ((xb - xa) ** 2 + (yb - ya) ** 2), 0, 1)
            distance = np.hypot(x - xa - along * (xb - xa), y - ya - along * (yb - ya))
            place = reached[segment] + along * (reached[segment + 1] - reached[segment])
            # Lines fade out at their ends, but for an end on the middle of the face, where the other half goes on.
            fade = np.clip((1 - place) * 2.5, 0, 1) * (1 if points[0, 0] == 0 else np.clip(0.3 + place * 3, 0, 1))
            groove = np.maximum(groove, fade * np.exp(-((distance / line.width) ** 2)))
        total += line.strength * groove
    return np.clip(total, -1, 1)
