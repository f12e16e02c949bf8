"""Lines that come with the AUs: geometry alone makes AU 4, 9 and 17 hard to see, on real faces the folds show them.

Each channel is a map of grooves over the front of the base head; an AU deepens its channels, age leaves some of them at
rest. Lines and depths are data: `assets/actions.toml`.
"""

from __future__ import annotations

import functools
import itertools
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ausynth.generators.rendered.actions import moved
from ausynth.generators.rendered.kernels import Integers, kernel
from ausynth.generators.rendered.table import AUS, Line, load_table
from ausynth.labels import Floats

__all__ = ["CHANNELS", "COLUMNS", "ROWS", "depths", "groove_maps", "grooves"]

CHANNELS: Final = tuple(load_table().lines)

ROWS: Final = 221
COLUMNS: Final = 181  # a millimetre of the face each
_LEFT_EDGE, _UPPER_EDGE = -9.0, 83.0


def depths(intensity_A: Floats, asymmetry_A: Floats, wrinkles: float) -> Floats:
    """Return (2, C) how deep each channel's lines are (about 0-1.6) on the left and on the right.

    Args:
        intensity_A: (A,) 0-5.
        asymmetry_A: (A,) see `actions.moved`.
        wrinkles: 0 (a young skin) to 1 (an old one).
    """
    rest_C, of_au_AC = _matrices()
    depth_2C = np.stack([rest_C, rest_C]) * np.float32(wrinkles)
    for side, moved_A in enumerate(moved(intensity_A, asymmetry_A)):
        # In a fixed order, as in `Actions.weights`.
        for a in np.flatnonzero(moved_A):
            depth_2C[side] += moved_A[a] * np.float32(0.75 + 0.5 * wrinkles) * of_au_AC[a]
    return np.asarray(np.minimum(depth_2C, np.float32(1.6)))


def grooves(intensity_A: Floats, asymmetry_A: Floats, wrinkles: float, lines: float = 1.0) -> Floats:
    """Return the (221, 181) map of a face's grooves: the maps of the channels, as deep as they are, times `lines`."""
    total_HW = np.zeros((ROWS, COLUMNS), np.float32)
    depth_2C = depths(intensity_A, asymmetry_A, wrinkles) * np.float32(lines)
    _sum(depth_2C, groove_maps(), _boxes(), _leftness(), total_HW)
    return total_HW


@functools.cache
def _matrices() -> tuple[Floats, Floats]:
    """Return (C,) depths at rest, and (A, C) those of each AU at 5."""
    table = load_table()
    rest_C, of_au_AC = np.zeros(len(CHANNELS), np.float32), np.zeros((len(AUS), len(CHANNELS)), np.float32)
    for channel, depth in table.at_rest.items():
        rest_C[CHANNELS.index(channel)] = depth
    for au, row in table.wrinkles.items():
        for channel, depth in row.items():
            of_au_AC[AUS.index(au), CHANNELS.index(channel)] = depth
    return rest_C, of_au_AC


@functools.cache
def _leftness() -> Floats:
    """Return (COLUMNS,) how far each column of the maps belongs to the person's left: 1 left, 0 right."""
    x = np.arange(COLUMNS) / 10 + _LEFT_EDGE
    share: Floats = np.clip(0.5 + x / 0.8, 0, 1).astype(np.float32)
    return share


@functools.cache
def _boxes() -> Integers:
    """Return (C, 4) the first and last row and column of each map that are not 0."""
    boxes = []
    for map_HW in groove_maps():
        rows, columns = np.flatnonzero(map_HW.any(1)), np.flatnonzero(map_HW.any(0))
        boxes.append((rows[0], rows[-1] + 1, columns[0], columns[-1] + 1))
    found: Integers = np.array(boxes, np.int32)
    return found


@kernel
def _sum(depth_2C: Floats, maps_CHW: Floats, boxes_C4: Integers, left_W: Floats, total_HW: Floats) -> None:
    for c in range(len(maps_CHW)):
        left, right = depth_2C[0, c], depth_2C[1, c]
        if left == 0 and right == 0:
            continue
        for row in range(boxes_C4[c, 0], boxes_C4[c, 1]):
            for column in range(boxes_C4[c, 2], boxes_C4[c, 3]):
                depth = right + (left - right) * left_W[column]
                total_HW[row, column] += depth * maps_CHW[c, row, column]


@functools.cache
def groove_maps() -> Floats:
    """Return (C, 221, 181) float32 maps of the grooves, 0-1, from the top left of the face's front, 1 mm a point."""
    maps = np.stack([_channel(load_table().lines[channel]) for channel in CHANNELS]).astype(np.float32)
    maps[np.abs(maps) < 1e-3] = 0
    maps.flags.writeable = False
    return maps


def _channel(lines: tuple[Line, ...]) -> NDArray[np.float64]:
    y, x = np.mgrid[:ROWS, :COLUMNS] / 10.0
    x, y = np.abs(x + _LEFT_EDGE), _UPPER_EDGE - y
    grooves = np.zeros((ROWS, COLUMNS))
    for points, width, strength in lines:
        groove = np.zeros_like(grooves)
        steps = np.hypot(*np.diff(np.array(points), axis=0).T)
        reached = np.concatenate([[0], np.cumsum(steps)]) / steps.sum()
        for segment, ((xa, ya), (xb, yb)) in enumerate(itertools.pairwise(points)):
            along = np.clip(((x - xa) * (xb - xa) + (y - ya) * (yb - ya)) / ((xb - xa) ** 2 + (yb - ya) ** 2), 0, 1)
            distance = np.hypot(x - xa - along * (xb - xa), y - ya - along * (yb - ya))
            place = reached[segment] + along * (reached[segment + 1] - reached[segment])
            # Lines fade out at their ends, but for an end on the middle of the face, where the other half goes on.
            fade = np.clip((1 - place) * 2.5, 0, 1) * (1 if points[0][0] == 0 else np.clip(0.3 + place * 3, 0, 1))
            groove = np.maximum(groove, fade * np.exp(-((distance / width) ** 2)))
        grooves += strength * groove
    return np.clip(grooves, -1, 1)
