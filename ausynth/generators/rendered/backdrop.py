"""What is behind the face, out of focus: a wall, or a room of blurred shapes, drawn from the noise seed."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from ausynth.generators.rendered.draws import stream
from ausynth.labels import Floats

__all__ = ["SIZE", "draw_backdrop"]

SIZE: Final = 24
"""Points of a backdrop in each direction: it is out of focus, so it needs no more."""

_GRAY: Final = 0.21
# What walls and things are painted with: sRGB, muted as in rooms that people live and work in.
_WALLS: Final = ((226, 222, 214), (205, 203, 199), (182, 190, 196), (170, 160, 148), (120, 124, 128), (72, 76, 84),
                 (196, 184, 164), (150, 164, 160), (98, 86, 78), (46, 48, 54))  # fmt: skip
_THINGS: Final = ((92, 66, 46), (136, 102, 70), (58, 70, 86), (170, 168, 162), (84, 98, 78), (150, 84, 66),
                  (38, 38, 42), (210, 204, 192), (110, 118, 132), (190, 160, 110))  # fmt: skip
_Colours = NDArray[np.float64]


def _linear(colours: tuple[tuple[int, int, int], ...]) -> _Colours:
    return (np.array(colours) / 255) ** 2.2


_LINEAR_WALLS: Final = _linear(_WALLS)
_LINEAR_THINGS: Final = _linear(_THINGS)
_DAY: Final = np.array((0.85, 0.9, 1.0))
_GRID: Final = np.mgrid[:SIZE, :SIZE] / (SIZE - 1) - 0.5


def draw_backdrop(noise: int, background: float) -> Floats:
    """Return (SIZE, SIZE, 3) float32, the linear colours behind the face.

    Args:
        noise: the seed.
        background: 0 is one gray; up to 1, walls, gradients and rooms that differ from it more and more.
    """
    draw = stream("background", noise)
    wall_3 = _LINEAR_WALLS[draw.integers(len(_WALLS))] * np.exp(0.2 * draw.standard_normal(3) * (0.4, 0.3, 0.5))
    kind = draw.random()
    picture = np.broadcast_to(wall_3, (SIZE, SIZE, 3)).astype(np.float32)
    if kind > 0.35:
        _furnish(picture, draw, many=kind > 0.6)
        blur = float(draw.uniform(0.9, 2.2))
        picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), blur, borderType=cv2.BORDER_REFLECT), np.float32)
    # Light falls off over any wall.
    y, x = _GRID
    slope_2 = draw.normal(0, 0.45, 2)
    picture = picture * (float(draw.uniform(0.55, 1.15)) * np.exp(slope_2[0] * x + slope_2[1] * y))[..., None]
    mixed: Floats = np.clip(_GRAY + background * (picture - _GRAY), 0.004, 1.2).astype(np.float32)
    return mixed


def _furnish(picture: Floats, draw: np.random.Generator, *, many: bool) -> None:
    """Draw upright and lying rectangles: shelves, doors, a bright window, a lamp."""
    count = int(draw.integers(6, 14)) if many else int(draw.integers(1, 4))
    shares = draw.random((count, 7)).tolist()
    for wide, high, lies, left, top, colour, bright in shares:
        width, height = 2 + int(wide * 7), 3 + int(high * 17)
        if lies < 0.4:
            width, height = height, max(1, width // 2)
        x, y = int(left * (SIZE + 1)) - 2, int(top * (SIZE + 1)) - 2
        painted = _LINEAR_THINGS[int(colour * len(_THINGS))] * (0.4 + 0.8 * bright)
        picture[max(0, y) : max(0, y + height), max(0, x) : max(0, x + width)] = painted
    window, side, along, high, bright, lamp, row, column = draw.random(8).tolist()
    if window < 0.35:
        x = (0 if side < 0.5 else SIZE - 8) + int(along * 4)
        picture[2 : 10 + int(high * 10), x : x + 6] = _DAY * (0.7 + 0.5 * bright)
    if lamp < 0.3:
        x, y = int(column * (SIZE - 2)), int(row * (SIZE - 2))
        picture[y : y + 2, x : x + 2] = (1.6, 1.3, 0.8)
