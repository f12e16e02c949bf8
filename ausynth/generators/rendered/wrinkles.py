"""Lines that come with the AUs: geometry alone makes AU 4, 9 and 17 hard to see, on real faces the folds show them.

Each channel is a map of grooves over the front of the base head; an AU deepens its channels, age leaves some of them at
rest. The table of depths is this project's own, set by eye.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ausynth.generators.rendered.actions import AUS, gain
from ausynth.labels import Floats

__all__ = ["CHANNELS", "COLUMNS", "ROWS", "depths", "groove_maps", "grooves"]

CHANNELS: Final = (
    "forehead_middle", "forehead_side", "glabella", "nose_root", "nasolabial", "crows_feet", "below_eye", "chin",
    "dimple", "marionette", "lip_rim",
)  # fmt: skip

_OF_AU: Final[Mapping[int, Mapping[str, float]]] = MappingProxyType(
    {
        1: {"forehead_middle": 0.9},
        2: {"forehead_side": 0.8, "forehead_middle": 0.2},
        4: {"glabella": 1.1},
        6: {"crows_feet": 0.9, "below_eye": 0.6},
        7: {"below_eye": 0.5},
        9: {"nose_root": 1.2, "glabella": 0.3, "nasolabial": 0.4},
        10: {"nasolabial": 0.8},
        12: {"nasolabial": 0.8, "dimple": 0.2},
        14: {"dimple": 1.4},
        15: {"marionette": 0.9},
        17: {"chin": 1.1},
        20: {"dimple": 0.5, "marionette": 0.4},
        23: {"lip_rim": 0.8},
        24: {"lip_rim": 1.0, "dimple": 0.2},
    }
)
_AT_REST: Final[Mapping[str, float]] = MappingProxyType(
    {
        "forehead_middle": 0.3,
        "forehead_side": 0.2,
        "glabella": 0.08,
        "nasolabial": 0.4,
        "crows_feet": 0.3,
        "below_eye": 0.35,
        "marionette": 0.25,
    }
)

ROWS: Final = 221
COLUMNS: Final = 181  # a millimetre of the face each
_LEFT_EDGE, _UPPER_EDGE = -9.0, 83.0


class Line(NamedTuple):
    """A groove: where it runs on the base head (x, y in centimetres), half its width, and how deep; below 0 a ridge."""

    points: tuple[tuple[float, float], ...]
    width: float
    strength: float


def depths(intensity_A: Floats, wrinkles: float) -> Floats:
    """Return (C,) how deep each channel's lines are (about 0-1.5) at intensities 0-5 over `AUS`.

    Args:
        intensity_A: (A,) 0-5.
        wrinkles: 0 (a young skin) to 1 (an old one).
    """
    depth_C = np.zeros(len(CHANNELS), np.float32)
    for channel, depth in _AT_REST.items():
        depth_C[CHANNELS.index(channel)] += depth * wrinkles
    for au, share in zip(AUS, gain(intensity_A), strict=True):
        for channel, depth in _OF_AU.get(au, {}).items():
            depth_C[CHANNELS.index(channel)] += depth * share * np.float32(0.75 + 0.5 * wrinkles)
    return np.minimum(depth_C, np.float32(1.6))


def grooves(intensity_A: Floats, wrinkles: float) -> Floats:
    """Return the (221, 181) map of a face's grooves: the maps of the channels, as deep as they are."""
    depth_C, total_HW = depths(intensity_A, wrinkles), np.zeros((ROWS, COLUMNS), np.float32)
    for c in np.flatnonzero(depth_C):
        total_HW += depth_C[c] * groove_maps()[c]
    return total_HW


@functools.cache
def groove_maps() -> Floats:
    """Return (C, 221, 181) float32 maps of the grooves, 0-1, from the top left of the face's front, 1 mm a point."""
    maps = np.stack([_channel(_lines()[channel]) for channel in CHANNELS]).astype(np.float32)
    maps.flags.writeable = False
    return maps


def _lines() -> dict[str, list[Line]]:
    """Return each channel's lines on the left half; the right half is its mirror image."""
    forehead = (76.8, 77.7, 78.5)
    pits = ((0.0, 64.0), (0.5, 63.6), (0.45, 64.5), (1.0, 64.1), (0.1, 63.1), (0.8, 63.0), (1.35, 63.6), (1.2, 64.7))
    return {
        "forehead_middle": [Line(((0, y - 0.1), (1.6, y + 0.1), (3.2, y)), 0.22, 1.0) for y in forehead],
        "forehead_side": [Line(((2.6, y + 0.1), (4.2, y + 0.35), (5.8, y - 0.2)), 0.22, 0.9) for y in forehead],
        "glabella": [
            Line(((0.62, 73.9), (0.72, 75.0), (0.6, 76.2)), 0.2, 1.0),
            Line(((1.25, 74.4), (1.3, 75.2)), 0.3, -0.5),
        ],
        "nose_root": [
            Line(((0, 73.4), (0.7, 73.2)), 0.17, 1.0),
            Line(((0, 72.7), (0.8, 72.4)), 0.17, 1.0),
            Line(((0.5, 72.0), (1.1, 71.2), (1.2, 70.6)), 0.18, 0.9),
            Line(((0.9, 72.4), (1.5, 71.6), (1.6, 71.0)), 0.18, 0.7),
        ],
        "nasolabial": [
            Line(((1.95, 69.6), (2.7, 68.4), (3.4, 67.0), (3.75, 65.6)), 0.26, 1.0),
            Line(((3.6, 69.0), (4.2, 67.2)), 0.7, -0.35),
        ],
        "crows_feet": [Line(((5.2, 72.9), (6.5, y)), 0.13, 0.9) for y in (73.9, 72.9, 71.9)],
        "below_eye": [
            Line(((1.7, 71.9), (3.0, 71.1), (4.6, 71.3), (5.2, 71.9)), 0.17, 0.9),
            Line(((2.0, 70.9), (3.4, 70.3), (5.0, 70.5)), 0.22, 0.5),
        ],
        "chin": [
            *(Line(((x, y), (x + 0.15, y + 0.12)), 0.22, 0.4) for x, y in pits),
            Line(((0, 65.0), (1.1, 64.95), (1.8, 64.6)), 0.22, 0.9),
        ],
        "dimple": [
            Line(((3.45, 67.0), (3.7, 66.3), (3.5, 65.6)), 0.2, 1.0),
            Line(((3.0, 66.9), (3.1, 65.8)), 0.3, -0.4),
        ],
        "marionette": [Line(((2.9, 65.7), (3.3, 64.9), (3.35, 64.0)), 0.22, 1.0)],
        "lip_rim": [
            Line(((0, 64.75), (1.2, 64.85), (2.2, 65.4)), 0.2, 0.8),
            Line(((0.4, 67.35), (1.4, 67.2), (2.3, 66.8)), 0.16, 0.5),
        ],
    }


def _channel(lines: list[Line]) -> NDArray[np.float64]:
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
