"""What is behind the person: out of focus, not too colourful, as behind people in real pictures."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np

from ausynth.generators.portrait.pixels import blurred
from ausynth.generators.rendered.draws import stream
from ausynth.labels import Floats

__all__ = ["KINDS", "PLAIN", "POINTS", "brightness", "draw_backdrop"]

POINTS: Final = 48
KINDS: Final = (0.3, 0.3, 0.15, 0.15, 0.1)  # shares of walls, rooms, gardens, windows and lights at night
PLAIN: Final = np.array([0.30, 0.30, 0.30], np.float32)


def draw_backdrop(noise: int, amount: float, size: int) -> Floats:
    """Return (size, size, 3) float32 linear colours.

    Args:
        noise: the seed.
        amount: 0 is always the same plain gray; 1 walls, rooms, windows, greenery and lights out of focus.
        size: of the picture in pixels.
    """
    if amount == 0:
        return np.broadcast_to(PLAIN, (size, size, 3)).copy()
    draw = stream("background", noise)
    kind = draw.choice(5, p=KINDS)
    scene_HW3 = (_wall, _room, _garden, _window, _bokeh)[kind](draw)
    scene_HW3 = PLAIN + np.float32(amount) * (scene_HW3 - PLAIN)
    large = cv2.resize(np.ascontiguousarray(scene_HW3, np.float32), (size, size), interpolation=cv2.INTER_CUBIC)
    return np.clip(large, 0.002, 1.2).astype(np.float32)


def _colour(draw: np.random.Generator, bright: float, most: float = 0.22) -> Floats:
    """Return a linear colour of little saturation."""
    hue, saturation = draw.uniform(0, 2 * np.pi), most * draw.beta(1.3, 2.2)
    warm = saturation * np.array([np.cos(hue), 0.35 * np.sin(hue), -np.cos(hue)]) + 0.03 * draw.standard_normal(3)
    return (bright * np.clip(1 + warm, 0.3, 2)).astype(np.float32)


def _grid() -> tuple[Floats, Floats]:
    y, x = np.mgrid[:POINTS, :POINTS].astype(np.float32) / (POINTS - 1)
    return x, y


def _gradient(draw: np.random.Generator, bright: float) -> Floats:
    x, y = _grid()
    angle, slope = draw.uniform(0, 2 * np.pi), draw.uniform(0.05, 0.5)
    ramp = 1 + slope * (np.cos(angle) * (x - 0.5) + np.sin(angle) * (y - 0.5))
    spot = 1 + draw.uniform(0, 0.6) * np.exp(-((x - draw.uniform(0, 1)) ** 2 + (y - draw.uniform(0, 1)) ** 2) / 0.25)
    return np.asarray((ramp * spot)[..., None] * _colour(draw, bright), np.float32)


def brightness(draw: np.random.Generator) -> float:
    """Return how bright a wall is: linear light, 0.03-0.75."""
    return float(np.exp(draw.uniform(np.log(0.03), np.log(0.75))))


def _wall(draw: np.random.Generator) -> Floats:
    return _gradient(draw, brightness(draw))


def _room(draw: np.random.Generator) -> Floats:
    """Return a wall with a few large things before it: doors, shelves, pictures, a lamp."""
    bright = brightness(draw)
    image = _gradient(draw, bright)
    x, y = _grid()
    for _ in range(draw.integers(2, 7)):
        left, top = draw.uniform(-0.2, 1, 2)
        width, height = draw.uniform(0.08, 0.5), draw.uniform(0.1, 0.9)
        inside = ((x > left) & (x < left + width) & (y > top) & (y < top + height))[..., None]
        thing = _colour(draw, float(np.clip(bright * np.exp(draw.normal(0, 0.7)), 0.01, 1)), 0.3)
        image = np.where(inside, image * 0.2 + 0.8 * thing, image)
    return blurred(image, draw.uniform(1.2, 4.5))


def _garden(draw: np.random.Generator) -> Floats:
    """Return leaves and sky far out of focus."""
    _, y = _grid()
    green = np.array([0.16, 0.21, 0.09], np.float32) * draw.uniform(0.4, 1.6) * (1 + 0.15 * draw.standard_normal(3))
    sky = np.array([0.62, 0.70, 0.78], np.float32) * draw.uniform(0.5, 1.1)
    blobs = sum(blurred(draw.standard_normal((POINTS, POINTS)).astype(np.float32), s) * s for s in (1.5, 3.0, 6.0))
    horizon = draw.uniform(-0.2, 0.7)
    share = np.clip((y - horizon) / 0.3 + 0.5 + 0.5 * np.asarray(blobs), 0, 1)[..., None]
    image = share * green * np.exp(0.35 * np.asarray(blobs))[..., None] + (1 - share) * sky
    return blurred(image.astype(np.float32), draw.uniform(1.0, 2.5))


def _window(draw: np.random.Generator) -> Floats:
    """Return a bright window in a darker room."""
    image = _gradient(draw, float(draw.uniform(0.05, 0.25)))
    x, y = _grid()
    left, top, width = draw.uniform(-0.3, 0.8), draw.uniform(-0.3, 0.3), draw.uniform(0.25, 0.7)
    pane = (x > left) & (x < left + width) & (y > top) & (y < top + draw.uniform(0.5, 1.0))
    bar = np.abs(x - (left + width / 2)) < 0.02
    image = np.where((pane & ~bar)[..., None], _colour(draw, float(draw.uniform(0.6, 1.0)), 0.12), image)
    return blurred(image, draw.uniform(1.0, 3.5))


def _bokeh(draw: np.random.Generator) -> Floats:
    """Return lights at night, out of focus."""
    image = _gradient(draw, float(draw.uniform(0.02, 0.10)))
    x, y = _grid()
    for _ in range(draw.integers(4, 14)):
        radius = draw.uniform(0.03, 0.11)
        distance = np.hypot(x - draw.uniform(0, 1), y - draw.uniform(0, 1))
        disc = np.clip((radius - distance) / 0.02, 0, 1)[..., None]
        image = image + disc * _colour(draw, float(draw.uniform(0.05, 0.4)), 0.45)
    return blurred(image.astype(np.float32), 0.7)
